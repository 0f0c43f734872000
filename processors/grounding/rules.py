"""How an expression is grounded: each idea of RefAM is a switch, so that each can be measured.

RefAM, Kukleva et al. 2025 (arXiv:2509.22650). Its project page names the parts: stop words soak up
attention that belongs to nothing and are dropped; more of them are appended, which splits the
background; global sinks are suppressed; noun phrases are filtered and places are biased.
ours: every number here, and how head phrase and bias are made, which no open source tells.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GroundRules"]


@dataclass(frozen=True)
class GroundRules:
    """What is done to the maps of an expression's words.

    stop_words:   those of the expression take part in each place's shares and are then dropped.
    sinks:        tokens that get much of the attention of every place are suppressed.
    magnets:      words appended to the expression and dropped; () = none. A magnet that is a word
                  of the expression is left out.
    head_phrase:  only words before the first preposition count: "the dog" of "the dog on grass".
    spatial_bias: β of the map's factor 1 + β·ramp where the expression says left, right, top,
                  bottom or middle; 0 = none.
    """

    stop_words: bool = True
    sinks: bool = True
    magnets: tuple[str, ...] = ("with", "to", "pink")
    head_phrase: bool = True
    spatial_bias: float = 0.5

    def __post_init__(self) -> None:
        for magnet in self.magnets:
            if not magnet or magnet != magnet.strip() or any(c.isspace() for c in magnet):
                raise ValueError(f"magnets: came {magnet!r}; expected single words")
        if not 0.0 <= self.spatial_bias <= 10.0:
            raise ValueError(f"spatial_bias: came {self.spatial_bias}; expected 0 to 10")

    @classmethod
    def plain(cls) -> GroundRules:
        """None of them: the sum of the maps of all words of the expression."""
        return cls(stop_words=False, sinks=False, magnets=(), head_phrase=False, spatial_bias=0.0)
