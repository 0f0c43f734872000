"""What diffusers can do to a transformer meanwhile, its blocks, and gradients through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from attention_studio.processors import (
    Call,
    Control,
    Interval,
    KeepLayout,
    ReplaceWords,
    ReweightWords,
    Site,
    Step,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.families import family_of
from attention_studio.processors.recorder import Columns, Maps, Word

from .joint_pipelines import JOINT, JointStudio
from .test_joint import IDLE
from .test_machinery import MACHINERY, check_laws_under
from .test_stock import traces


@pytest.mark.parametrize("machinery", MACHINERY)
@pytest.mark.parametrize("name", ["flux", "sd3-dual"])
def test_the_laws_hold_under(name: str, machinery: Callable[[Any], None]) -> None:
    studio = JointStudio(name)
    edits = [ReplaceWords(), ReweightWords({"grass": 3.0}), KeepLayout()]
    check_laws_under(machinery, studio, studio.pipe.transformer, IDLE, edits)


def test_compiled_blocks_are_refused() -> None:
    pipe = JointStudio("flux").pipe
    pipe.transformer.compile_repeated_blocks()
    with pytest.raises(ValueError, match="is compiled"), attach(pipe, []):
        pass


@pytest.mark.parametrize("name", JOINT)
def test_controls_act_in_their_blocks_alone(name: str) -> None:
    """Blocks are counted as they run, a second attention of the image with its block."""
    asked: set[str] = set()

    class Watch(ReplaceWords):
        def tokens(self, call: Call) -> Call:
            asked.add(call.site.name)
            return call

    studio = JointStudio(name)
    sites = [site for _, site in family_of(studio.pipe).sites(studio.pipe.transformer)]
    depths = [site.depth for site in sites]
    assert depths == sorted(depths) and depths[0] == 0 and depths[-1] < 1  # type: ignore[type-var]
    for blocks in (Interval(0, 0.5), Interval(0.5, 1)):
        asked.clear()
        with attach(studio.pipe, [Watch(blocks=blocks)]):
            studio()
        assert asked == {s.name for s in sites if s.has_text and _in(s, blocks)}


def _in(site: Site, blocks: Interval) -> bool:
    return site.depth is not None and blocks.start <= site.depth < blocks.end


def test_text_of_joint_attention_is_projected_from_nothing_else() -> None:
    class Other(Control):
        def context(self, *given: Any) -> Any:
            return given[-1]

    pipe = JointStudio("sd3").pipe
    with pytest.raises(ValueError, match="Other changes what text keys"), attach(pipe, [Other()]):
        pass


@dataclass(frozen=True, eq=False)
class Excite(Control):
    """Maximises the mean map of "cat" of prompt 0 in the first step."""

    strength: float = 30.0

    def bind(self, prompts: Any) -> Excite:
        tokens = prompts.tokenized("excite")[0].find("cat").indices
        object.__setattr__(self, "columns", Columns((Word(0, "cat", tokens),)))
        return self

    def acts(self, site: Site, step: Step) -> bool:
        return site.maps

    def record(self, site: Site, step: Step) -> Columns:
        return self.columns  # type: ignore[attr-defined,no-any-return]

    def rate(self, step: Step) -> float:
        return self.strength if step.index == 0 else 0.0

    def loss(self, maps: Maps, step: Step) -> torch.Tensor:
        return -maps.get("cat").mean()


def test_objectives_move_both_calls_of_a_step_alike() -> None:
    studio = JointStudio("flux")
    base, before = studio(), traces(studio.pipe)
    seen: list[torch.Tensor] = []
    hook = studio.pipe.transformer.x_embedder.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].detach().clone())
    )
    with attach(studio.pipe, [Excite()]):
        out = studio()
    hook.remove()
    probe, cond, uncond = seen[:3]
    assert len(probe) == 2 and torch.equal(cond, uncond)
    assert not torch.equal(cond[0], probe[0]) and torch.equal(cond[1], probe[1])
    assert not torch.equal(out[0], base[0]) and torch.equal(out[1], base[1])
    assert traces(studio.pipe) == before
