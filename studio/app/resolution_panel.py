"""What came of a large picture: beside what it is compared with, with seconds, memory and pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from ..jobs import Job, State, job_key
from ..models import Model
from ..recipe import Recipe
from .compare import compare_any
from .desk import Desk
from .job_panel import running
from .literal import literal
from .pictures import data_url, open_picture, shown
from .resolution_draft import BESIDES, beside, pairs_said

__all__ = ["OPTIONS", "resolution_panel"]

OPTIONS: Mapping[str, Any] = {"plain": False, "maps": False}
"""Of this page's jobs: nothing beside the picture is drawn or recorded, so that costs compare."""

_PARTS: Mapping[str, tuple[int, int] | None] = {  # left and top in halves of what is left over
    "Whole": None,
    "Middle": (1, 1),
    "Top left": (0, 0),
    "Top right": (2, 0),
    "Bottom left": (0, 2),
    "Bottom right": (2, 2),
}


@dataclass(frozen=True)
class _Drawn:
    """A picture that is there, and what its run said."""

    name: str
    path: Path
    result: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(self.result["recipe"])


def resolution_panel(desk: Desk, job: Job, rest: Callable[[], None] | None) -> None:
    """Draw what a job's result says; `rest` is for runs that show a part early, which it is not."""
    assert job.result is not None
    asked = Recipe.model_validate_json(job.recipe)
    model = desk.model(asked.model)
    drawn = [_drawn(desk, _name(asked), job)]
    with st.grid(columns=2, min_column_width=140, gap="small", key="resolution_pictures"):
        _picture(drawn[0])
        for name, other in _others(desk, asked, model):
            with st.container(key=f"caption_beside_{other.id}"):
                if other.state is State.done and desk.complete(other):
                    drawn.append(_drawn(desk, name, other))
                    _picture(drawn[-1])
                else:
                    _missing(desk, name, other)
    figures, slider, details = st.tabs(["Figures", "Compare", "Recipe"])
    with figures:
        _figures(drawn, model)
    with slider:
        _compare(job, drawn)
    with details:
        st.code(drawn[0].recipe.model_dump_json(indent=2), language="json", height=360)


def _others(desk: Desk, asked: Recipe, model: Model | None) -> list[tuple[str, Job]]:
    """The runs to compare with that somebody has asked for."""
    found = []
    for what, name in BESIDES.items():
        try:
            recipe = None if model is None else beside(asked, what, model)
        except ValueError:  # too large to be drawn at once
            continue
        if recipe is not None:
            job = desk.journal.find(job_key(recipe.model_dump(mode="json"), OPTIONS))
            found += [] if job is None else [(name, job)]
    return found


def _name(recipe: Recipe) -> str:
    if not recipe.finer:
        return "At the trained size" if recipe.size is None else "Without steps up"
    windowed = any(step.radius is not None for step in recipe.finer)
    return "Local windows" if windowed else "In steps"


def _drawn(desk: Desk, name: str, job: Job) -> _Drawn:
    assert job.result is not None
    return _Drawn(name, desk.path(job.result["pictures"][0]), job.result)


def _picture(one: _Drawn) -> None:
    for sentence in one.result["warnings"]:
        st.warning(literal(sentence), icon=":material/info:")
    prompt = one.recipe.prompts[0]
    with st.container(key=f"caption_{one.path.stem}"):
        st.image(_bytes(one), width="stretch", alt=prompt or "(empty prompt)")
        st.markdown(f"**{literal(one.name)}**")
        st.text(prompt or "(empty prompt)")


def _missing(desk: Desk, name: str, job: Job) -> None:
    """In the place of a picture to compare with that is not there."""
    st.markdown(f"**{literal(name)}**")
    if job.state is State.failed:
        st.error(literal(job.error or "It failed."))
    elif job.state is State.cancelled:
        st.info("Cancelled. Draw again to have it after all.")
    elif job.state is State.done:
        st.info("This picture is not in the folder any more. Draw again to have it anew.")
    else:
        running(desk, job.id)


def _figures(drawn: list[_Drawn], model: Model | None) -> None:
    """One column a run; nothing stands here that was not measured or counted."""
    table: dict[str, list[str]] = {"": ["Pixels", "Seconds", "Most memory", "Largest size"]}
    for one in drawn:
        height, width = _size(one)
        peak = one.result.get("peak_bytes")
        table[one.name] = [
            f"{width} × {height}",
            f"{one.result['timings']['generate']:.1f}",
            "not known here" if peak is None else f"{peak / 1e9:.2f} GB",
            _pairs(one, model),
        ]
    st.table(table, border="horizontal", hide_index=True)
    st.caption(
        "Seconds are those of all denoising and decoding, the first drawing included. Memory is "
        "the most that was held, weights included: on CUDA by the device's tensors, elsewhere by "
        "the process with its libraries."
    )
    if any(step.radius is not None for step in drawn[0].recipe.finer):
        st.caption(
            "Full attention has neither windows nor what belongs to them: their scale, which "
            "grows with the size, and the stretch of positions."
        )


def _pairs(one: _Drawn, model: Model | None) -> str:
    if model is None:
        return "not known: the model is gone"
    if not model.has_windows:
        return "full attention"
    rows, columns = (side // model.token_px for side in _size(one))
    last = one.recipe.finer[-1].radius if one.recipe.finer else None
    return f"{rows * columns:,} tokens, {pairs_said((rows, columns), last)}"


@st.fragment
def _compare(job: Job, drawn: list[_Drawn]) -> None:
    """The slider; parts are as many pixels as the model was trained for, so nothing is hidden."""
    if len(drawn) < 2:
        st.info("There is only one picture, so nothing to compare it with.")
        return
    part = st.selectbox("Part", list(_PARTS), 0, key=f"part_{job.key}")
    side = drawn[0].recipe.size
    compare_any({one.name: partial(_url, one, part, side) for one in drawn}, job.key)


def _url(one: _Drawn, part: str, size: tuple[int, int] | None) -> str:
    return data_url(_bytes(one, part, size))


def _bytes(one: _Drawn, part: str = "Whole", size: tuple[int, int] | None = None) -> bytes:
    """As a browser gets it; size: (height, width) of a part, that of the first drawing."""
    return _shown(str(one.path), one.path.stat().st_mtime_ns, part, size)


def _size(one: _Drawn) -> tuple[int, int]:
    """(height, width) in pixels of the picture that came out."""
    width, height = open_picture(one.path).size
    return height, width


@st.cache_data(max_entries=128, show_spinner=False)
def _shown(path: str, changed: int, part: str, size: tuple[int, int] | None) -> bytes:
    image, place = open_picture(Path(path)), _PARTS[part]
    if place is not None and size is not None:
        image = _cut(image, place, size)
    return shown(image)


def _cut(image: Image.Image, place: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    height, width = size
    left = place[0] * max(0, image.width - width) // 2
    top = place[1] * max(0, image.height - height) // 2
    return image.crop((left, top, min(image.width, left + width), min(image.height, top + height)))
