"""Vanilla queries: those of the denoiser by itself on the same latents, blended step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import (
    AlignStyle,
    BlendQueries,
    Call,
    Control,
    Excite,
    Interval,
    Prompts,
    Rows,
    Segregate,
    ShareTokens,
    engine,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Kind, Stage

from .calls import a_step
from .conftest import Studio
from .joint_pipelines import JointStudio
from .test_consistency import call_of, close
from .test_stock import traces

TEXTS = ["a cat", "a lion", "a cat and a lion"]
SHARE = ShareTokens(1.0, 1.0, 1.0, sources=(0, 1), prompts=(2,))
ALWAYS = Interval(0.0, 1.0)
STUDIOS: dict[str, Any] = {
    "sd": lambda: Studio("sd"),
    "sdxl": lambda: Studio("sdxl"),
    "sd3-dual": lambda: JointStudio("sd3-dual"),
    "flux": lambda: JointStudio("flux"),
}


def run(studio: Any, *controls: Control, steps: int = 3, **more: Any) -> Tensor:
    with attach(studio.pipe, list(controls)):
        found: Tensor = studio(TEXTS, num_inference_steps=steps, **more)
    return found


class Heard(Control):
    """Keeps the decoder's queries as they are after the controls before it."""

    def __init__(self) -> None:
        object.__setattr__(self, "rows", Rows.ALL)
        object.__setattr__(self, "queries", [])

    def tokens(self, call: Call) -> Call:
        if call.site.kind is Kind.SELF and call.site.stage is Stage.UP:
            self.queries.append((call.site.name, call.step.call, call.q.clone()))  # type: ignore[attr-defined]
        return call


def stock_queries(unet: Any, inputs: dict[str, Any]) -> dict[str, Tensor]:
    """[B, N, H D] of every self-attention when the stock UNet is called."""
    found: dict[str, Tensor] = {}
    hooks = [
        module.to_q.register_forward_hook(
            lambda _, __, out, name=name: found.__setitem__(name, out)
        )
        for name, module in unet.named_modules()
        if name.endswith("attn1")
    ]
    with torch.no_grad():
        unet(**inputs)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_queries_are_the_stock_denoiser_s_on_the_same_latents(name: str) -> None:
    studio, seen, heard = Studio(name), [], Heard()
    blend = BlendQueries((1.0, 1.0), ALWAYS, prompts=(2,))
    with attach(studio.pipe, [SHARE, blend, heard]):
        entering = studio.pipe.unet.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
        )
        studio(TEXTS, num_inference_steps=3)
        entering.remove()
    whole = [(args, kwargs) for args, kwargs in seen if args]  # the pipeline's own calls
    first = [kwargs for args, kwargs in seen if not args]  # those before, of the scene's rows
    assert len(whole) == len(first) == 3
    assert heard.queries  # type: ignore[attr-defined]
    for step, (((sample, t), kwargs), before) in enumerate(zip(whole, first, strict=True)):
        assert torch.equal(before["sample"], sample[[2, 5]]) and before["timestep"] == t
        texts = "encoder_hidden_states"
        assert torch.equal(before[texts], kwargs[texts][[2, 5]])
        stock = stock_queries(studio.pipe.unet, before)
        for site, call, q in heard.queries:  # type: ignore[attr-defined]
            if call == step:
                vanilla = stock[site].view(2, *q.transpose(1, 2).shape[1:]).transpose(1, 2)
                close(q[[2, 5]], vanilla, 1e-6)


def test_a_query_is_the_weighed_sum_of_both() -> None:
    plain, own = call_of(1), call_of(2)
    site = replace(own.site, kind=Kind.SELF, stage=Stage.UP)
    plain, own = (replace(c, site=site, step=a_step(0, 50)) for c in (plain, own))
    prompts = Prompts(tuple(TEXTS), 3, 1, ())
    for index in range(6):
        bound = BlendQueries(prompts=(2,)).bind(prompts)
        assert bound is not None
        step = a_step(index, 50)
        assert bound.rehearses(step, own.batch) == (2, 5)
        engine.run(replace(plain, step=step), [bound.watcher])
        found = engine.run(replace(own, step=step), [bound])
        s = 0.9 - index * (0.9 - 0.818) / 5  # the released code's 0.9 · (1 − i / 55), rounded
        assert abs(s - 0.9 * (1 - index / 55)) < 2e-4
        q = own.q.clone()
        q[[2, 5]] = s * plain.q[[2, 5]] + (1 - s) * own.q[[2, 5]]
        close(found, F.scaled_dot_product_attention(q, own.k, own.v))
    assert bound.rehearses(a_step(6, 50), own.batch) == ()


@pytest.mark.parametrize("name", STUDIOS)
def test_strength_nought_is_nothing_and_others_keep_their_bits(name: str) -> None:
    studio = STUDIOS[name]()
    stock, before = studio(TEXTS, num_inference_steps=3), traces(studio.pipe)
    base = run(studio, SHARE)
    assert torch.equal(run(studio, SHARE, BlendQueries((0.0, 0.0))), base)
    assert torch.equal(run(studio, SHARE, BlendQueries(during=Interval(0.0, 0.0))), base)
    assert torch.equal(run(studio, SHARE, BlendQueries(prompts=())), base)
    found = run(studio, SHARE, BlendQueries(during=ALWAYS, prompts=(2,)))
    assert torch.equal(found[:2], base[:2]) and not torch.equal(found[2], base[2])
    alone = run(studio, BlendQueries(during=ALWAYS))  # both calls ask the same
    torch.testing.assert_close(alone, stock, atol=1e-5, rtol=1e-5)
    assert traces(studio.pipe) == before


def test_it_goes_with_objectives_and_other_queries() -> None:
    studio = Studio("sd")
    moving = Excite(("cat",), (), during=ALWAYS, rows=Rows.COND_EDIT)
    for more in (AlignStyle(), Segregate(("cat", "lion"), rows=Rows.COND_EDIT), moving):
        texts = ["a lion and a cat", "a cat and a lion"]
        with attach(studio.pipe, [BlendQueries(during=ALWAYS), more]) as seen:
            found = studio(texts, num_inference_steps=2)
        assert bool(found.isfinite().all())
        note = "blend_queries let 2 pictures ask as by themselves in the first steps"
        assert note in seen.notes


def test_nothing_is_left_after_an_exception_within_a_rehearsal() -> None:
    studio = Studio("sd")
    before, base = traces(studio.pipe), studio(TEXTS, num_inference_steps=2)

    class Broken(BlendQueries):
        @property
        def watcher(self) -> Control:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run(studio, Broken(during=ALWAYS))
    assert traces(studio.pipe) == before
    assert torch.equal(studio(TEXTS, num_inference_steps=2), base)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (BlendQueries((0.9, 1.2)), r"strength: came \(0.9, 1.2\)"),
        (BlendQueries((0.9,)), r"strength: came \(0.9,\); expected two"),  # type: ignore[arg-type]
        (BlendQueries(prompts=(3,)), "prompts: came prompt 3; the run has 0 to 2"),
    ],
)
def test_bad_input_is_said(control: Control, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        control.bind(Prompts(tuple(TEXTS), 3, 1, ()))
