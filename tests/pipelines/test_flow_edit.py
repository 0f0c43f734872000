"""FlowEdit's laws: nothing to change, a velocity that is known, and steps as they are counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attention_studio.pipelines import flow_edit
from attention_studio.processors.families import family_of

from ..processors.conftest import sd
from ..processors.joint_pipelines import JOINT, JointStudio

SIZE = (12, 20)


def a_picture(studio: JointStudio) -> torch.Tensor:
    draw = torch.Generator().manual_seed(7)
    latents = torch.randn(2, 4, *SIZE, generator=draw)
    return family_of(studio.pipe).pack(latents)


@pytest.mark.parametrize("name", [n for n in JOINT if n != "sd3-dual"])
def test_equal_prompts_change_nothing_and_others_do(name: str) -> None:
    studio = JointStudio(name)
    latents = a_picture(studio)
    call: dict[str, Any] = {"size": SIZE, "steps": 3, "changed": 2, "max_sequence_length": 20}
    same = flow_edit(studio.pipe, latents, "a cat", "a cat", target_guidance=1.5, **call)
    assert torch.equal(same, latents)
    out = flow_edit(studio.pipe, latents, "a cat", "a dog", **call)
    assert out.shape == latents.shape and bool(out.isfinite().all())
    assert not torch.equal(out, latents)
    again = flow_edit(studio.pipe, latents, "a cat", "a dog", **call)
    assert torch.equal(out, again)
    other = flow_edit(studio.pipe, latents, "a cat", "a dog", seed=1, **call)
    assert not torch.equal(out, other)


def test_velocities_that_depend_on_the_prompt_alone_are_integrated() -> None:
    """With v = 1 for the source and 3 for the target the way is that of 2, over Σ of the steps."""
    studio = JointStudio("sd3")
    latents = a_picture(studio)
    source = studio.pipe.encode_prompt(["a cat"], None, None, do_classifier_free_guidance=False)[0]
    seen: list[float] = []

    def forward(**asked: Any) -> tuple[torch.Tensor]:
        is_source = torch.allclose(asked["encoder_hidden_states"][0], source[0], atol=1e-4)
        seen.append(float(asked["timestep"][0]))
        return (torch.full_like(asked["hidden_states"], 1.0 if is_source else 3.0),)

    studio.pipe.transformer.forward = forward
    call: dict[str, Any] = {"size": SIZE, "steps": 5, "source_guidance": 1, "target_guidance": 1}
    out = flow_edit(studio.pipe, latents, "a cat", "a dog", changed=3, draws=2, **call)
    sigmas = studio.pipe.scheduler.sigmas
    torch.testing.assert_close(out, latents - 2 * sigmas[2], atol=1e-5, rtol=1e-5)
    assert len(seen) == 3 * 2 * 2
    assert sorted(set(seen), reverse=True) == studio.pipe.scheduler.timesteps[2:].tolist()
    out = flow_edit(studio.pipe, latents, "a cat", "a dog", changed=3, sampled=1, **call)
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(4, *SIZE, generator=generator) for _ in range(3)][-1]  # of the last step
    moved = -2 * (sigmas[2] - sigmas[4])
    wanted = (1 - sigmas[4]) * latents + sigmas[4] * noise + moved - 3 * sigmas[4]
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    studio = JointStudio("sd3")
    latents = a_picture(studio)
    for wrong in ({"changed": 4}, {"sampled": 4, "changed": 3}, {"draws": 0}):
        with pytest.raises(ValueError, match="steps, changed, sampled, draws: came"):
            flow_edit(
                studio.pipe, latents, "a", "b", size=SIZE, **{"steps": 3, "changed": 2, **wrong}
            )
    unet = sd()
    unet.transformer = unet.unet
    with pytest.raises(ValueError, match="predicts no flow"):
        flow_edit(unet, latents, "a", "b", size=SIZE)
