"""A finished run: its pictures side by side, the slider, word maps, receipt, recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from ..jobs import Job
from ..recipe import Recipe
from .compare import compare, compare_any
from .desk import Desk
from .draft import unique_words
from .literal import literal
from .pictures import data_url, heat, open_picture, read_maps, shown

__all__ = ["result_panel"]


@dataclass(frozen=True)
class _Picture:
    name: str
    prompt: str
    file: str
    number: int  # of the prompt whose maps belong to it
    said: str  # below it


def result_panel(desk: Desk, job: Job, rest: Callable[[], None] | None) -> None:
    """Draw what a job's result says.

    rest: draws what stands for the pictures that are still to come; None: all are there.
    """
    assert job.result is not None
    result = job.result
    recipe = Recipe.model_validate(result["recipe"])
    pictures = _pictures(recipe, result)
    for sentence in result["warnings"]:
        st.warning(literal(sentence), icon=":material/info:")
    _side_by_side(desk, pictures, rest)
    slider, maps, receipt, details = st.tabs(["Compare", "Word maps", "Receipt", "Recipe"])
    with slider:
        _compare(desk, job, pictures)
    with maps:
        _maps(desk, job, pictures)
    with receipt:
        _receipt(result)
    with details:
        st.code(recipe.model_dump_json(indent=2), language="json", height=360)


def _pictures(recipe: Recipe, result: dict[str, Any]) -> list[_Picture]:
    names, found = result["pictures"], []
    for i, (name, prompt) in enumerate(zip(names, recipe.prompts, strict=True)):
        title = "Picture" if not recipe.is_edit else "Edit" if i else "Source"
        more = f" {i}" if len(names) > 2 and (i or not recipe.is_edit) else ""
        found.append(_Picture(title + more, prompt, name, i, prompt))
    first = len(names) - len(result["plain"])
    said = f"the {'edited' if recipe.is_edit else 'same'} prompt without controls"
    for i, name in enumerate(result["plain"], start=first):
        more = f" {i}" if len(result["plain"]) > 1 else ""
        found.append(_Picture("Plain" + more, recipe.prompts[i], name, i, said))
    return found


def _side_by_side(desk: Desk, pictures: list[_Picture], rest: Callable[[], None] | None) -> None:
    count = len(pictures) + (rest is not None)
    with st.grid(columns=min(count, 3), min_column_width=90, gap="small", key="triptych"):
        for i, picture in enumerate(pictures):
            with st.container(key=f"caption_{i}"):
                st.image(_bytes(desk, picture), width="stretch", alt=picture.name)
                st.markdown(f"**{picture.name}**")
                st.text(picture.said)
        if rest is not None:
            with st.container():
                rest()


@st.fragment
def _compare(desk: Desk, job: Job, pictures: list[_Picture]) -> None:
    if len(pictures) < 2:
        st.info("There is only one picture, so nothing to compare it with.")
        return
    compare_any({one.name: partial(_url, desk, one) for one in pictures}, job.key)


def _maps(desk: Desk, job: Job, pictures: list[_Picture]) -> None:
    stored = (job.result or {})["maps"]
    if not stored:
        st.info("No maps were recorded.")
        return
    path = desk.path(stored["file"])
    recorded = _names(str(path), path.stat().st_mtime_ns)
    having = [p for p in pictures if not p.name.startswith("Plain")]
    names = [picture.name for picture in having]
    name = st.segmented_control(
        "Picture", names, default=names[-1], required=True, key=f"map_of_{job.key}"
    )
    picture = having[names.index(name)]
    words = [i for i in range(len(stored["words"])) if f"{i}-{picture.number}" in recorded]
    if not words:
        st.info("No maps were recorded of this picture.")
        return
    word = st.pills(
        "Word",
        words,
        default=_telling(words, stored["words"], [p.prompt for p in having if p is not picture]),
        format_func=lambda i: literal(stored["words"][i]),
        required=True,
        key=f"word_{job.key}_{picture.number}",
    )
    name = f"{word}-{picture.number}"
    compare(
        data_url(_heat(str(path), path.stat().st_mtime_ns, name, str(desk.path(picture.file)))),
        _url(desk, picture),
        first=f"“{stored['words'][word]}” in {picture.name}",
        second="bright: looked at most",
        label="Opacity of the map",
        key=f"maps_{job.key}",
        mode="fade",
        at=60,
    )


def _telling(numbers: list[int], words: list[str], others: list[str]) -> int:
    """The word that the other prompts lack, else the first that is longer than "the"."""
    known = set(unique_words(*others))
    new = [i for i in numbers if words[i] not in known]
    return next(iter(new), next((i for i in numbers if len(words[i]) > 3), numbers[0]))


def _receipt(result: dict[str, Any]) -> None:
    for receipt in result["receipts"]:
        st.text(receipt["text"])
    if not result["receipts"]:
        st.text("This run has no source to compare with, so nothing was measured.")
    for i, said in enumerate(result["judge"] or ()):
        with st.container(key=f"caption_judge_{i}"):
            name = "Source" if i == 0 else "Edit" if len(result["judge"]) == 2 else f"Edit {i}"
            st.text(f"Judge on {name if result['receipts'] else 'picture'}: {said}")
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["timings"].items())
    st.caption(f"Time: {spent}")


def _bytes(desk: Desk, picture: _Picture) -> bytes:
    path = desk.path(picture.file)
    return _shown(str(path), path.stat().st_mtime_ns)


def _url(desk: Desk, picture: _Picture) -> str:
    return data_url(_bytes(desk, picture))


@st.cache_data(max_entries=256, show_spinner=False)
def _shown(path: str, changed: int) -> bytes:
    return shown(open_picture(Path(path)))


@st.cache_data(max_entries=256, show_spinner=False)
def _names(maps: str, changed: int) -> frozenset[str]:
    return frozenset(read_maps(Path(maps)))


@st.cache_data(max_entries=256, show_spinner=False)
def _heat(maps: str, changed: int, name: str, picture: str) -> bytes:
    """The map as large as the picture it belongs to."""
    return shown(heat(read_maps(Path(maps))[name], open_picture(Path(picture)).size))
