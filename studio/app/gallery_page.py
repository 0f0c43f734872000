"""The page Gallery: pictures newest first, their recipes, and the way back from a PNG to one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from ..gallery_index import Entry
from ..recipe import Recipe
from ..stored import Stored
from .desk import Desk
from .literal import literal
from .pictures import open_picture, shown

__all__ = ["gallery_page"]

_PAGE = 24
_THUMB_PX = 256
_LARGEST_MB = 32


def gallery_page(desk: Desk, use: Callable[[Recipe], None]) -> None:
    """Draw the page; `use` takes a recipe to the edit page."""
    search, drop = st.columns([3, 2], vertical_alignment="bottom")
    text = search.text_input("Search in prompts", key="gallery_text", placeholder="such as: cat")
    with drop.popover("Restore from a PNG", width="stretch", icon=":material/upload:"):
        _restore(desk, use)
    if st.session_state.get("gallery_for") != text:
        st.session_state.gallery_for, st.session_state.gallery_page = text, 0
    page = st.session_state.gallery_page
    found = desk.gallery.newest(_PAGE + 1, page * _PAGE, text.strip() or None)
    if not found:
        st.info(
            "No picture yet: what you draw appears here."
            if not text
            else "No prompt contains that."
        )
    with st.grid(columns="auto", min_column_width=150, gap="small"):
        for entry in found[:_PAGE]:
            _thumb(desk, entry, use)
    _turn_pages(page, more=len(found) > _PAGE)


def _thumb(desk: Desk, entry: Entry, use: Callable[[Recipe], None]) -> None:
    name = entry.path.relative_to(desk.settings.out).as_posix()
    with st.container(key=f"thumb_{name}", gap="xsmall"):
        try:
            picture = _small(str(entry.path), entry.path.stat().st_mtime_ns)
        except (ValueError, OSError):
            st.caption("This file cannot be read any more.")
            st.text(name)
            return
        st.image(picture, width="stretch", alt=entry.prompt or "(empty prompt)")
        st.text(entry.prompt or "(empty prompt)")
        if st.button("Open", key=f"open_{name}", width="stretch"):
            _details(desk, entry, use)


@st.dialog("Picture", width="medium")
def _details(desk: Desk, entry: Entry, use: Callable[[Recipe], None]) -> None:
    try:
        picture, stored = shown(open_picture(entry.path)), desk.gallery.recipe_of(entry.path)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return
    st.image(picture, width=384, alt=entry.prompt or "(empty prompt)")
    st.text(entry.prompt or "(empty prompt)")
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
    height, width = entry.size
    st.caption(f"{entry.role} · seed {entry.seed} · {width} × {height} px · {made}")
    _recipe(stored, use, "dialog")
    st.download_button(
        "Download PNG", entry.path.read_bytes(), entry.path.name, "image/png", on_click="ignore"
    )


def _restore(desk: Desk, use: Callable[[Recipe], None]) -> None:
    file = st.file_uploader("A picture with its recipe", type="png", max_upload_size=_LARGEST_MB)
    if file is None:
        return
    try:
        stored = desk.gallery.recipe_of(file.getvalue())
    except ValueError as error:
        st.error(literal(str(error)))
        return
    _recipe(stored, use, "dropped")


def _recipe(stored: Stored, use: Callable[[Recipe], None], where: str) -> None:
    for note in stored.notes:
        st.info(literal(note))
    if stored.recipe is None:
        return
    if st.button("Use this recipe", type="primary", key=f"use_{where}"):
        use(stored.recipe)
    st.code(stored.recipe.model_dump_json(indent=2), language="json", height=240)


def _turn_pages(page: int, *, more: bool) -> None:
    if not page and not more:
        return
    newer, place, older = st.columns([1, 1, 1], vertical_alignment="center")
    if newer.button("Newer", disabled=not page, width="stretch"):
        st.session_state.gallery_page -= 1
        st.rerun()
    place.markdown(f"Page {page + 1}", text_alignment="center")
    if older.button("Older", disabled=not more, width="stretch"):
        st.session_state.gallery_page += 1
        st.rerun()


@st.cache_data(max_entries=1024, show_spinner=False)
def _small(path: str, changed: int) -> bytes:
    return shown(open_picture(Path(path)), _THUMB_PX, _THUMB_PX + 128)
