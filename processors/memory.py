"""What attention read of a picture that looks at nobody, so that others look at it undrawn.

    memory = Memory("a cat on grass", sites)
    with attach(pipe, [], keeps=memory):
        pipe(memory.prompt, generator=...)
    with attach(pipe, controls, recalls=[memory]):
        pipe("a cat on a beach", generator=...)

In the second call the cat is prompt 0 and the beach prompt 1 for every control; the denoiser is
given the beach's rows alone. Kept are the states that a site projects q, k and v from, half as much
as k and v; of a UNet's cross-attention the text alone, once, since it stays the same.

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286) keeps its anchors' so. ours: for any control.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .call import Batch, Kind, Role, Row, Site, Step

__all__ = ["Memory", "Remembered"]

_Key = tuple[str, int, int, Role]
_Text = tuple[int, Role]


@dataclass(eq=False)
class Memory:
    """Of one prompt in one run, picture by picture, for each half of guidance.

    sites:       names of the sites at which others shall be able to look at it.
    limit_bytes: of all it keeps; None = none. Beyond it `over` is set, nothing is kept at all, and
                 `when_over` is called, which may end the run.
    device:      where it is kept.
    """

    prompt: str
    sites: frozenset[str]
    limit_bytes: int | None = None
    device: torch.device | str = "cpu"
    when_over: Callable[[], None] | None = None
    used_bytes: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)
    _states: dict[_Key, tuple[Tensor, Tensor | None]] = field(default_factory=dict, init=False)
    _texts: dict[_Text, Tensor] = field(default_factory=dict, init=False)

    def keep(
        self, site: Site, step: Step, batch: Batch, hidden: Tensor, text: Tensor | None
    ) -> None:
        """What came to a site: hidden [B, N, C], text [B, T, C'] or None."""
        if self.over or site.name not in self.sites:
            return
        for i in batch.every:
            image, role = batch.rows[i].image, batch.rows[i].role
            if site.kind is not Kind.CROSS:
                words = None if text is None else self._copied(text[i])
                self._states[site.name, step.call, image, role] = self._copied(hidden[i]), words
            elif text is not None and (image, role) not in self._texts:
                self._texts[image, role] = self._copied(text[i])
        if self.limit_bytes is not None and self._foreseen(step) > self.limit_bytes:
            self.over, self.used_bytes = True, 0
            self._states.clear()
            self._texts.clear()
            if self.when_over is not None:
                self.when_over()

    def recall(self, site: Site, step: Step, row: Row) -> tuple[Tensor | None, Tensor | None]:
        """Hidden states [N, C] and text [T, C'] of a picture, None where there are none.

        ValueError for what its run did not have.
        """
        try:
            if site.kind is Kind.CROSS:
                return None, self._texts[row.image, row.role]
            return self._states[site.name, step.call, row.image, row.role]
        except KeyError:
            raise ValueError(
                f"recalls: {self.prompt!r} was kept without {row.role.value} row {row.image} of "
                f"{site.name} in step {step.call}; expected a run like the present one"
            ) from None

    def _foreseen(self, step: Step) -> int:
        """Bytes in the end, at least: each step needs as much as the first."""
        more = step.count - 1 if step.call == 0 else 0
        return self.used_bytes + more * (
            self.used_bytes - sum(x.nbytes for x in self._texts.values())
        )

    def _copied(self, x: Tensor) -> Tensor:
        self.used_bytes += x.nbytes
        return x.detach().to(self.device, copy=True)


@dataclass(frozen=True, eq=False)
class Remembered:
    """What a run keeps and what it recalls; its prompts come after the recalled ones."""

    keeps: Memory | None = None
    recalls: tuple[Memory, ...] = ()

    def texts(self, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Those of all prompts; ValueError where those to keep are several."""
        if self.keeps is not None and own is not None and len(own) > 1:
            raise ValueError(f"keeps: came with {len(own)} prompts; expected one to keep")
        return None if own is None else (*(memory.prompt for memory in self.recalls), *own)

    def later(self, batch: Batch) -> Batch:
        """The batch with its prompts' numbers after the recalled ones."""
        first = len(self.recalls)
        return replace(
            batch, rows=tuple(replace(row, prompt=row.prompt + first) for row in batch.rows)
        )

    def beside(self, batch: Batch) -> Batch:
        """The batch with rows of recalled prompts before its own."""
        kinds = dict.fromkeys((row.image, row.role) for row in batch.rows)
        idle = tuple(Row(prompt, *kind) for kind in kinds for prompt in range(len(self.recalls)))
        return Batch(idle + batch.rows, batch.twins, len(idle))

    def at(self, site: Site) -> bool:
        """Whether rows of recalled prompts are there to be looked at."""
        return bool(self.recalls) and all(site.name in memory.sites for memory in self.recalls)

    def states(
        self, site: Site, step: Step, batch: Batch, hidden: Tensor, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What came to the site, with that of recalled rows before it, as in `beside`.

        In a UNet's cross-attention nobody asks for them, so any queries stand for theirs.
        """
        whole = self.beside(batch)
        idle = whole.rows[: whole.idle]
        found = [self.recalls[row.prompt].recall(site, step, row) for row in idle]
        seen = [hidden[0] if states is None else states.to(hidden) for states, _ in found]
        words = [words.to(hidden) for _, words in found if words is not None]
        hidden = torch.cat([torch.stack(seen), hidden])
        return hidden, text if text is None else torch.cat([torch.stack(words), text])
