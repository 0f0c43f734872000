"""How far a batch is: its plan, its rows as they come, and a contact sheet of their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from ..batch.figures import value_of
from ..batch.job import batch_of
from ..batch.journal import BatchJournal, Counts, Item
from ..batch.places import picture_names, place_of
from ..jobs import Job, State
from .desk import Desk, owner
from .literal import literal
from .pictures import open_picture, shown

__all__ = ["batch_owner", "batch_panel", "plan_panel"]

_EVERY_S = 1.0
_LISTED, _BEFORE, _ON_SHEET = 100, 8, 24
_SUFFIX = " batch"


def batch_owner(of: Job | None = None) -> str:
    """Who asks for batches: beside the visitor, so that those and single pictures take turns.

    of: a batch: the visitor behind it.
    """
    return owner() + _SUFFIX if of is None else of.owner.removesuffix(_SUFFIX)


def plan_panel(desk: Desk, key: str, *, changed: bool) -> None:
    """The newest plan of that key. changed: the manifest is another by now."""
    job = desk.journal.find(key)
    if job is None:
        return
    st.subheader("Plan", anchor=False)
    if changed:
        st.caption("Of the manifest as it was; press *Plan* again for the one that stands here.")
    if job.state is State.failed:
        st.error(literal(job.error or "It failed."))
    elif job.state.ended:
        _plan(job.result or {})
    else:
        _planning(desk, job.id)


@st.fragment(run_every=_EVERY_S)
def _planning(desk: Desk, number: int) -> None:
    job = desk.journal.get(number)
    if job.state.ended:
        st.rerun()
    ahead = desk.journal.ahead(job)
    st.caption(f"Waiting for {ahead} before it" if ahead else "Reading every line …")


def _plan(found: dict[str, Any]) -> None:
    counts, seconds = Counts(**found["counts"]), found["seconds"]
    left, middle, right = st.columns(3)
    left.metric("Rows", f"{counts.rows}")
    middle.metric("Pictures", f"{found['pictures']}")
    right.metric("Time, about", "unknown" if seconds is None else _span(seconds))
    memory = f"{found['memory'] / 2**20:.0f} MiB of memory beside the weights"
    calls = found["calls"]
    st.caption(f"{calls} {'call' if calls == 1 else 'calls'} of the pipeline, about {memory}")
    _refused(found["refused"], counts.refused)


def _refused(lines: Sequence[Sequence[Any]], count: int) -> None:
    if not count:
        return
    st.warning(f"{count} {'line makes' if count == 1 else 'lines make'} no row.")
    for line, error in lines:
        st.text(f"line {line}: {error}")
    if count > len(lines):
        st.caption(f"and {count - len(lines)} more")


def batch_panel(desk: Desk, key: str, again: Callable[[], None]) -> None:
    """The newest batch of that key. again: asks for it once more."""
    job = desk.journal.find(key)
    if job is None:
        st.info("This batch is not in the journal any more.")
    elif job.state.ended:
        _ended(desk, job, again)
    else:
        _running(desk, job.id)


@st.fragment(run_every=_EVERY_S)
def _running(desk: Desk, number: int) -> None:
    job = desk.journal.get(number)
    if job.state.ended:
        st.rerun()
    journal = _journal(desk, job)
    counts = None if journal is None else journal.counts()
    ended = 0 if counts is None else counts.done + counts.failed
    share = ended / counts.rows if counts is not None and counts.rows else 0.0
    st.progress(share, text=_how_far(desk, job, counts))
    if st.button("Cancel", key=f"cancel_{job.id}", disabled=job.cancel):
        desk.journal.cancel(job.id, batch_owner())
        st.rerun(scope="fragment")
    if journal is not None:
        _rows(desk, job, journal)


def _how_far(desk: Desk, job: Job, counts: Counts | None) -> str:
    if job.cancel:
        return "Cancelling after this step …"
    if counts is None or not counts.rows:
        ahead = desk.journal.ahead(job)
        return f"Waiting for {ahead} before it" if ahead else "Reading the manifest …"
    text = f"{counts.done + counts.failed} of {counts.rows} rows"
    if job.state is State.waiting:
        return f"{text}; others come first"
    if job.result is None:
        return text
    pace, left = job.result["pictures_a_minute"], job.result["seconds_left"]
    return f"{text}, {pace:.0f} pictures a minute, about {_span(left)} left"


def _ended(desk: Desk, job: Job, again: Callable[[], None]) -> None:
    journal = _journal(desk, job)
    if job.state is State.failed:
        st.error(literal(job.error or "It failed."))
    if journal is None:
        if job.state is State.done:
            st.info("The files of this batch are gone; *Start* draws it again.")
        return
    counts = journal.counts()
    _refused(journal.refused(), counts.refused)
    if not counts.rows:
        return
    text = f"{counts.done} of {counts.rows} rows done"
    st.text(f"{text}, {counts.failed} failed" if counts.failed else text)
    label = None if job.state is State.done else "Resume"
    if label is None and counts.failed:
        label = "Draw the failed rows again"
    if label is not None and st.button(label, key=f"again_{job.id}"):
        if job.state is State.done:
            journal.retry_failed()
        again()
        st.rerun()
    report = batch_of(job.recipe, desk.settings.out).out / "report.html"
    if job.state is State.done and report.is_file():
        st.download_button(
            "Download the report", report.read_bytes(), report.name, on_click="ignore"
        )
    _rows(desk, job, journal)
    st.caption("Everything is in the folder")
    st.code(str(report.parent), language=None)


def _rows(desk: Desk, job: Job, journal: BatchJournal) -> None:
    """The table around the first row that waits, and the pictures of the first that are done."""
    waits = next(journal.items(state="waiting", limit=1), None)
    after = -1 if waits is None else waits.number - _BEFORE
    items = list(journal.items(after=after, limit=_LISTED))
    if items:
        st.dataframe(
            {
                "row": [item.row.id for item in items],
                "state": [item.state for item in items],
                "prompts": [" → ".join(item.row.prompts) for item in items],
                "what came of it": [_said(item) for item in items],
            },
            hide_index=True,
        )
    home = batch_of(job.recipe, desk.settings.out).out
    with st.grid(columns="auto", min_column_width=150, gap="small"):
        for item in journal.items(state="done", limit=_ON_SHEET):
            _thumb(home / place_of(item.number, item.row.folder), item)


def _said(item: Item) -> str:
    if item.error is not None:
        return item.error
    if not item.figures:
        return ""
    figures = item.figures[0]
    said = [f"{value}" for value in [figures.get("effect")] if value is not None]
    outside = value_of(figures, "psnr_outside")
    if isinstance(outside, float | int):
        said.append(f"{outside:.1f} dB outside")
    if "nouns_ok" in figures:
        said.append("things right" if figures["nouns_ok"] else "things missing")
    return ", ".join(said)


def _thumb(folder: Path, item: Item) -> None:
    paths = [folder / name for name in picture_names(item.files)[:2]]
    try:
        strip = _strip(tuple(map(str, paths)), paths[0].stat().st_mtime_ns)
    except (OSError, IndexError):
        return  # the folder was moved away meanwhile
    text = " → ".join(item.row.prompts)
    with st.container(key=f"thumb_{item.number}", gap="xsmall"):
        st.image(strip, width="stretch", alt=text or "(empty prompt)")
        st.text(text or "(empty prompt)")


@st.cache_data(max_entries=512, show_spinner=False)
def _strip(paths: tuple[str, ...], changed: int) -> bytes:
    """Source and edit side by side."""
    images = [open_picture(Path(path)) for path in paths]
    gap = max(1, images[0].width // 32)
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    strip = Image.new("RGB", (width, max(image.height for image in images)), "white")
    at = 0
    for image in images:
        strip.paste(image, (at, 0))
        at += image.width + gap
    return shown(strip, 256, 512)


def _journal(desk: Desk, job: Job) -> BatchJournal | None:
    """None before there is one."""
    path = batch_of(job.recipe, desk.settings.out).journal_folder / "journal.sqlite"
    return _opened(str(path.parent), path.stat().st_ino) if path.is_file() else None


@st.cache_resource(max_entries=32, show_spinner=False)
def _opened(folder: str, file: int) -> BatchJournal:
    """file: its number, since a folder that was deleted may be made again."""
    return BatchJournal(Path(folder))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
