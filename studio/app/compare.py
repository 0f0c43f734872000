"""A component with two pictures in one frame: slide from one to the other, or fade one over.

It is a range input over the pictures, so a finger, a mouse and the arrow keys move it, and screen
readers name it. Nothing is sent to the server. All text goes in as data, never as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import streamlit as st

__all__ = ["compare", "compare_any"]

_HTML = """
<figure>
  <div class="frame">
    <img class="under" draggable="false">
    <img class="over" draggable="false">
    <span class="line" aria-hidden="true"><span class="grip"></span></span>
    <input type="range" min="0" max="100" step="1">
  </div>
  <figcaption><span class="first"></span><span class="second"></span></figcaption>
</figure>
"""

_CSS = """
figure { margin: 0; font-family: var(--st-font); color: var(--st-text-color); }
.frame { position: relative; overflow: hidden; border-radius: 0.3rem; line-height: 0;
  background: var(--st-secondary-background-color); }
.frame:focus-within { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
img { width: 100%; user-select: none; }
.over { position: absolute; inset: 0; height: 100%; }
.line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #0008; pointer-events: none; }
.grip { position: absolute; top: 50%; left: 50%; width: 1.6rem; height: 1.6rem;
  margin: -0.8rem 0 0 -0.8rem; border-radius: 50%; background: #fff; box-shadow: 0 0 4px #0006; }
input { margin: 0; }
.slide input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0;
  cursor: ew-resize; touch-action: pan-y; }
.fade .line { display: none; }
.fade .frame { overflow: visible; background: none; }
.fade img { border-radius: 0.3rem; }
.fade input { appearance: none; width: 100%; height: 0.3rem; margin: 1.1rem 0 0.6rem;
  border-radius: 0.15rem; background: linear-gradient(to right, var(--st-primary-color) var(--at),
  var(--st-border-color) var(--at)); }
.fade input::-webkit-slider-thumb { appearance: none; width: 1rem; height: 1rem; border: none;
  border-radius: 50%; background: var(--st-primary-color); }
.fade input::-moz-range-thumb { width: 1rem; height: 1rem; border: none; border-radius: 50%;
  background: var(--st-primary-color); }
.fade .over { height: auto; bottom: auto; }
figcaption { display: flex; justify-content: space-between; gap: 1rem; margin-top: 0.45rem;
  font-size: 0.85rem; line-height: 1.35; opacity: 0.85; }
figcaption span { overflow-wrap: anywhere; }
.second { text-align: right; }
"""

_JS = """
export default function ({ data, parentElement }) {
  const find = (name) => parentElement.querySelector(name);
  const figure = find("figure"), input = find("input"), over = find(".over"), line = find(".line");
  if (!input.dataset.ready) {
    input.dataset.ready = "yes";
    input.value = data.at;
  }
  figure.className = data.mode;
  figure.style.maxWidth = data.width + "px";
  find(".under").src = data.under;
  find(".under").alt = data.second;
  over.src = data.over;
  over.alt = data.first;
  find(".first").textContent = data.first;
  find(".second").textContent = data.second;
  input.setAttribute("aria-label", data.label);
  const move = () => {
    const at = Number(input.value);
    input.setAttribute("aria-valuetext", at + " %");
    input.style.setProperty("--at", at + "%");
    if (data.mode === "slide") {
      over.style.opacity = 1;
      over.style.clipPath = "inset(0 " + (100 - at) + "% 0 0)";
      line.style.left = at + "%";
    } else {
      over.style.clipPath = "none";
      over.style.opacity = at / 100;
    }
  };
  input.oninput = move;
  move();
}
"""


def compare(
    over: str,
    under: str,
    *,
    first: str,
    second: str,
    label: str,
    key: str,
    mode: Literal["slide", "fade"] = "slide",
    at: int = 50,
    width_px: int = 640,
) -> None:
    """Show `over` on the left of the slider and `under` on its right, or `over` faded over `under`.

    over, under:   pictures of one size as data URLs.
    first, second: what stands below, left and right.    label: the slider's name.
    at:            where it stands at first, in percent.
    """
    _component()(
        key=key,
        data={
            "over": over,
            "under": under,
            "first": first,
            "second": second,
            "label": label,
            "mode": mode,
            "at": at,
            "width": width_px,
        },
    )


def compare_any(pictures: Mapping[str, Callable[[], str]], key: str) -> None:
    """The slider over any two of the pictures, the first two at first.

    pictures: by the name that stands below, how to get each as a data URL.
    """
    names = list(pictures)
    with st.grid(columns=2, min_column_width=120, gap="small"):
        first = st.selectbox("Left", names, 0, key=f"left_{key}")
        second = st.selectbox("Right", names, 1, key=f"right_{key}")
    compare(
        *(pictures[first](), pictures[second]()),
        first=first,
        second=second,
        label=f"Compare {first} and {second}",
        key=f"compare_{key}",
    )


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component("attention_studio.compare", html=_HTML, css=_CSS, js=_JS)
