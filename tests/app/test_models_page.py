"""The page Models: it says of each pair of controls what the matrix says."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from attention_studio.capabilities import capabilities


def test_the_models_page(page: Callable[..., AppTest]) -> None:
    at = page("models")
    assert not at.exception
    assert "emoji" in "".join(str(header.value) for header in at.subheader)
    for family, rows in capabilities().items():
        at.segmented_control[0].set_value(family).run()
        here = next(text.value for text in at.text if "replace_words" in text.value).split(", ")
        refused: dict[str, str] = {}
        for head, reason in zip(at.markdown, at.text[-len(at.markdown) :], strict=True):
            said = head.value.replace("\\", "").strip("*").removeprefix("Not ")
            refused |= dict.fromkeys(said.split("; "), f"controls: {reason.value}")
        for name, row in rows.items():
            assert (name in here) is (name not in refused)
            for other, cell in row.items():
                if name in here and other in here:
                    pairs = {f"{name} with {other}", f"{other} with {name}"}
                    pairs = {f"{name} twice"} if other == name else pairs
                    assert {refused.get(pair, "yes") for pair in pairs} <= {"yes", cell}
                    assert (cell == "yes") is not bool(pairs & set(refused))
                else:
                    assert cell in {refused[n] for n in (name, other) if n not in here}
    assert not at.exception
