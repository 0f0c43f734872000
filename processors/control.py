"""A control: a small frozen object that sees one attention call and says how it should change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self, TypeVar

from torch import Tensor

from .call import Batch, Call, Rows, Site, Step
from .joint import JointMix
from .mask import KeyBias, Mask
from .mix import Mix
from .prompts import TextBlock, TokenizedText, tokenize
from .recorder import Columns
from .sight import Sights

__all__ = ["AnyMix", "Context", "Control", "Encode", "Prompts", "twins"]

AnyMix = TypeVar("AnyMix", Mix, JointMix)
"""A `Mix`, or what stands for it where image and text share one softmax: the verbs are the same."""

Encode = Callable[[Sequence[str]], Tensor]
"""From K texts to their embeddings [K, T, C], as the pipeline encodes its prompts in this run."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """What a run is about, known once its prompts are encoded.

    texts:  source first, then the edits; None when only embeddings were given.
    count:  how many prompts.
    images: pictures of each prompt.
    blocks: how the encoders fill the text axis of the denoiser.
    length: T, positions of that axis.
    encode: for texts that are not among the prompts; None where no pipeline stands behind the run.
    """

    texts: tuple[str, ...] | None
    count: int
    images: int
    blocks: tuple[TextBlock, ...]
    encode: Encode | None = None
    length: int = 0

    def tokenized(self, control: str) -> tuple[TokenizedText, ...]:
        """Every text with its tokens; ValueError when there are no texts."""
        if self.texts is None:
            raise ValueError(
                f"prompt: {control} works on words, and only embeddings came; pass prompt= instead"
            )
        return tuple(tokenize(text, self.blocks, self.length) for text in self.texts)

    def cut(self) -> tuple[str, ...]:
        """A warning for each prompt that the encoder did not see to its end."""
        texts = () if self.texts is None else self.tokenized("receipt")
        return tuple(
            f"prompt {i} is longer than the text encoder reads; lost: {', '.join(block.cut_words)}"
            for i, text in enumerate(texts)
            for block in text.blocks
            if block.cut_words
        )

    def require_edits(self, control: str) -> None:
        """ValueError unless there is a source and an edit."""
        if self.count < 2:
            raise ValueError(
                f"prompt: {control} needs a source and at least one edit, came {self.count} prompt"
            )


@dataclass(frozen=True, eq=False)
class Context:
    """What keys and values are projected from: each [B, S, C]."""

    k: Tensor
    v: Tensor


@dataclass(frozen=True, eq=False)
class Control:
    """Every verb is the identity until a control says otherwise.

    For each call the engine asks every control verb by verb, in the order below, so the order of
    the list matters only within a verb. Controls keep their tensors fp32 on the CPU.
    """

    rows: Rows = field(default=Rows.COND_EDIT, kw_only=True)
    """Rows for which `mask` and `bias` hold; `mix` and `tokens` ask the batch for them."""

    paired: ClassVar[bool] = False
    """Whether edits are held against the source, so that both must start from the same noise."""

    def bind(self, prompts: Prompts) -> Self | None:
        """Words become tokens; None = nothing to do in this run."""
        return self

    def departs(self, prompt: int) -> bool:
        """Whether it may lead an edit away from a source that has the same text."""
        return True

    def acts(self, site: Site, step: Step) -> bool:
        """Whether it changes or reads anything here and now; else stock code runs."""
        return True

    def phase(self, step: Step) -> Hashable:
        """What of the step `mix` and `record` depend on: while it stays, so do their answers."""
        return step if self.overrides("mix") or self.overrides("record") else None

    def context(self, site: Site, step: Step, batch: Batch, context: Context) -> Context:
        """The conditioning before its projection to keys and values."""
        return context

    def tokens(self, call: Call) -> Call:
        """Other q, k, v; added reference keys."""
        return call

    def mask(self, call: Call) -> Mask | None:
        """Who may see whom."""
        return None

    def bias(self, call: Call) -> KeyBias | None:
        """Additive log-weight of each key; those of several controls add up."""
        return None

    def sees(self, call: Call) -> Sights | None:
        """Which image keys, own ones and other rows', image queries of a row see; they join.

        It names its rows itself, and the same object is given as long as nothing changes.
        """
        return None

    def mix(self, call: Call, mix: AnyMix) -> AnyMix:
        """Output rows as sums of attentions with changed values; columns count text keys only."""
        return mix

    def record(self, site: Site, step: Step) -> Columns | None:
        """Words whose columns go to the recorder."""
        return None

    def attend(self, call: Call) -> Tensor | None:
        """Another operator altogether, [B, H, N, D]; at most one control a site."""
        return None

    def edit(self, probs: Tensor, call: Call) -> Tensor:
        """Last resort: all probabilities [B, H, N, S]. For small grids and prototypes."""
        return probs

    def finish(self, call: Call, out: Tensor) -> Tensor:
        """What leaves the attention, [B, H, N, D], before its projection."""
        return out

    @classmethod
    def overrides(cls, verb: str) -> bool:
        """Whether this control answers a verb at all."""
        return getattr(cls, verb) is not getattr(Control, verb)


def twins(prompts: Prompts, controls: Sequence[Control]) -> frozenset[int]:
    """Prompts with the source's text that no control leads away from it."""
    texts = prompts.texts or ()
    alike = (p for p in range(1, len(texts)) if texts[p] == texts[0])
    return frozenset(p for p in alike if not any(control.departs(p) for control in controls))
