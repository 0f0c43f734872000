"""The texts that a pipeline's encoders read: under controls they must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["same_texts"]


def same_texts(pipe: Any, asked: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...] | None:
    """One a prompt, from the arguments of `encode_prompt`; None when embeddings came instead.

    names: of the arguments with texts, the first of them stands for the others where they are None.
    """
    prompt = asked.get(names[0])
    texts = (prompt,) if isinstance(prompt, str) else prompt
    for name in names[1:]:
        other = asked.get(name)
        if other is not None and ((other,) if isinstance(other, str) else other) != texts:
            raise ValueError(
                f"{name}: both encoders see the same words, so under a control they must read the "
                f"same; came prompt={prompt!r}, {name}={other!r}"
            )
    if texts is None:
        return None
    if hasattr(pipe, "maybe_convert_prompt"):  # textual inversion
        texts = [pipe.maybe_convert_prompt(text, pipe.tokenizer) for text in texts]
    return tuple(texts)
