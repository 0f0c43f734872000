"""Where the session keeps the fields of a draft, and the three things every form does with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import streamlit as st

__all__ = ["FormKeys"]


class FormKeys(Mapping[str, str]):
    """From a field's name to its key, `prefix_name`.

    example: the draft that a form shows first.
    rows:    fields that are tuples of as many entries as the example's, each with a key, `row`.
    without: fields that the page keeps in its own way.
    """

    def __init__(
        self, prefix: str, example: Any, rows: Collection[str] = (), without: Collection[str] = ()
    ) -> None:
        self._prefix, self._example, self._rows = prefix, example, tuple(rows)
        names = [name for name in example.__dataclass_fields__ if name not in (*rows, *without)]
        self._keys = {name: f"{prefix}_{name}" for name in names}

    def __getitem__(self, name: str) -> str:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def row(self, name: str, number: int) -> str:
        """The key of an entry of a field in `rows`."""
        return f"{self._prefix}_{name}_{number}"

    def fill_in(self) -> None:
        """The example, where nothing is set yet. Comes before the fields are drawn."""
        for key, value in self._values(self._example):
            st.session_state.setdefault(key, value)

    def show(self, draft: Any) -> None:
        """Set the form to a draft."""
        for key, value in self._values(draft):
            st.session_state[key] = value

    def said(self) -> dict[str, Any]:
        """What the form says, by name of the field."""
        state = st.session_state
        rows = {
            name: tuple(state[self.row(name, i)] for i in range(len(getattr(self._example, name))))
            for name in self._rows
        }
        return {name: state[key] for name, key in self._keys.items()} | rows

    def _values(self, draft: Any) -> Iterator[tuple[str, Any]]:
        for name, key in self._keys.items():
            yield key, getattr(draft, name)
        for name in self._rows:
            for number, value in enumerate(getattr(draft, name)):
                yield self.row(name, number), value
