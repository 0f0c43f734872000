"""The app's frame: who may come in, which pages there are."""

from __future__ import annotations

import sys

import streamlit as st
from PIL import Image, ImageDraw

from ..recipe import Recipe
from .batch_page import batch_page
from .compose_page import compose_page, take_over_composition
from .desk import open_desk
from .door import admitted
from .edit_page import edit_page, take_over
from .gallery_page import gallery_page
from .ground_page import ground_page
from .models_page import models_page
from .resolution_page import resolution_page, take_over_resolution
from .settings import Settings
from .story_page import story_page
from .theme import CSS

__all__ = ["main"]


def main() -> None:
    """Draw the app; outside a Streamlit server, be the command `attention-studio app`."""
    if not st.runtime.exists():
        from ..cli import app

        app(["app", *sys.argv[1:]])
    st.set_page_config(page_title="Attention Studio", page_icon=_icon(), layout="wide")
    st.html(f"<style>{CSS}</style>")
    if not st.get_option("server.address"):
        st.error(
            "Start the app with `attention-studio app`. As it runs now, others could reach it."
        )
        return
    settings = Settings.of(sys.argv[1:])
    if settings.locked and not admitted():
        return
    desk = open_desk(settings)

    def use(recipe: Recipe) -> None:
        if take_over_composition(recipe):
            st.switch_page(compose)
        if recipe.finer and take_over_resolution(recipe):
            st.switch_page(resolution)
        take_over(desk, recipe)
        st.switch_page(edit)

    edit = st.Page(lambda: edit_page(desk), title="Edit", url_path="edit", default=True)
    compose = st.Page(lambda: compose_page(desk), title="Compose", url_path="compose")
    story = st.Page(lambda: story_page(desk), title="Story", url_path="story")
    ground = st.Page(lambda: ground_page(desk), title="Ground", url_path="ground")
    resolution = st.Page(
        lambda: resolution_page(desk), title="High resolution", url_path="resolution"
    )
    batch = st.Page(lambda: batch_page(desk), title="Batch", url_path="batch")
    gallery = st.Page(lambda: gallery_page(desk, use), title="Gallery", url_path="gallery")
    models = st.Page(lambda: models_page(desk), title="Models", url_path="models")
    pages = [edit, compose, story, ground, resolution, batch, gallery, models]
    st.navigation(pages, position="top").run()


@st.cache_data(show_spinner=False)
def _icon() -> Image.Image:
    """Two halves of one picture. (An icon by name would be fetched from the network.)"""
    icon = Image.new("RGBA", (64, 64))
    draw = ImageDraw.Draw(icon)
    draw.rounded_rectangle((4, 4, 60, 60), 12, fill="#33608f")
    draw.rectangle((34, 4, 60, 60), fill="#e9b44c")
    draw.rectangle((30, 0, 33, 64), fill="#ffffff")
    return icon
