"""Puts controls on a stock pipeline for the length of a `with` block, and takes every trace away.

    with attach(pipe, [ReplaceWords(), KeepLayout()]) as run:
        images = pipe(["a cat on grass", "a dog on grass"], generator=...).images
    run.maps, run.receipt(...)

The stock sampling loop runs. Where and when no control acts, so do the stock processors: the bits
are theirs by construction.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import torch

from .call import Kind
from .control import Control
from .families import Family, Keeps, family_of
from .families.positions import stretch
from .memory import Memory, Remembered
from .noise import RandomState
from .recorder import BUDGET_BYTES
from .run import Run
from .step import Condition, Inputs, LatentEdit, Objective, Stretch

__all__ = ["attach", "attached"]

_MARK = "_attention_studio_run"
_OTHER_TEXTS = {
    "prompt_2",
    "prompt_3",
    "prompt_embeds",
    "prompt_embeds_mask",
    "pooled_prompt_embeds",
}


@contextmanager
def attach(
    pipe: Any,
    controls: Sequence[Control],
    *,
    map_budget_bytes: int = BUDGET_BYTES,
    keeps: Memory | None = None,
    recalls: Sequence[Memory] = (),
) -> Iterator[Run]:
    """Steers the calls of `pipe` within the block; yields the run, which outlives it.

    keeps:   what attention reads of the one prompt of a call goes there.
    recalls: prompts 0, 1, … of the run for its controls, which are not drawn again; those of the
             call come after them. Nothing changes them, so none of its controls may mean to.
    ValueError, before anything is changed, for a family, processor, scheduler or cache that cannot
    be steered, and for a pipeline that is attached already (also by way of a shared denoiser).
    """
    family = family_of(pipe)
    denoiser: Any = family.denoiser(pipe)
    sites = family.sites(denoiser)
    joint = any(site.kind is Kind.JOINT for _, site in sites)
    _check(pipe, denoiser, family, controls, joint=joint)
    _check_memory(denoiser, family, controls, keeps, recalls)
    for module, site in sites:
        family.check(module, site)
    run = Run(family, pipe, controls, map_budget_bytes, Remembered(keeps, tuple(recalls)))
    with ExitStack() as undo:
        setattr(denoiser, _MARK, run)
        undo.callback(delattr, denoiser, _MARK)
        factor = prod(c.theta_factor for c in controls if isinstance(c, Stretch))
        if factor != 1:
            undo.callback(stretch(denoiser, factor))
            sites = family.sites(denoiser)  # they know how far a place turns
        if any(isinstance(control, Objective) for control in controls):
            for parameter in denoiser.parameters():  # a gradient in the latents needs none in them
                undo.callback(parameter.requires_grad_, parameter.requires_grad)
                parameter.requires_grad_(False)
        for module, site in sites:
            undo.callback(module.set_processor, module.processor)
            module.set_processor(family.processor(module, site, run))
        _wrap(undo, pipe, "encode_prompt", functools.partial(_encoding, family, pipe, run))
        _wrap(undo, pipe.scheduler, "set_timesteps", functools.partial(_setting, run))
        _wrap(undo, pipe.scheduler, "step", functools.partial(_stepping, pipe.scheduler, run))
        forward = inspect.signature(type(denoiser).forward)
        before = functools.partial(_entering, family, pipe, pipe.scheduler, forward, run)
        for hook in (
            denoiser.register_forward_pre_hook(before, with_kwargs=True),
            denoiser.register_forward_hook(lambda *_: run.left(), always_call=True),
        ):
            undo.callback(hook.remove)
        yield run


def attached(pipe: Any) -> Run | None:
    """The run that steers the pipeline's denoiser now; None when it is stock."""
    run: Run | None = getattr(family_of(pipe).denoiser(pipe), _MARK, None)
    return run


def _check(
    pipe: Any, denoiser: Any, family: Family, controls: Sequence[Control], *, joint: bool
) -> None:
    for control in controls:
        if not isinstance(control, Control):
            raise ValueError(f"controls: came {control!r}; expected controls")
    missing = [name for name in ("encode_prompt", "num_timesteps") if not hasattr(type(pipe), name)]
    if missing:
        raise ValueError(
            f"pipe: {type(pipe).__name__} has no {missing[0]}, by which prompts or steps are "
            "known; expected text-to-image, image-to-image, inpainting or ControlNet"
        )
    if hasattr(denoiser, _MARK):
        raise ValueError("pipe: it, or another with the same denoiser, is attached already")
    if getattr(denoiser, "is_cache_enabled", False):
        raise ValueError("pipe: its cache skips attention calls; call disable_cache() first")
    for name, module in denoiser.named_modules():
        if getattr(module, "_compiled_call_impl", None) is not None:
            raise ValueError(
                f"pipe: {name or 'the denoiser'} is compiled, and under controls would be compiled "
                "anew at each step; attach to a pipeline that is not"
            )
    refused = [type(c).__name__ for c in controls if c.overrides("context")]
    if refused and joint:
        raise ValueError(
            f"controls: {refused[0]} changes what text keys are projected from, but joint "
            "attention carries text on from block to block; expected a model with cross-attention"
        )
    refused = [type(c).__name__ for c in controls if isinstance(c, Condition)]
    if refused and not family.padded:
        raise ValueError(
            f"controls: {refused[0]} changes what the denoiser is given, where embeddings of "
            f"{type(denoiser).__name__} have as many tokens as their text; expected a model that "
            "pads them"
        )
    editing = [type(c).__name__ for c in controls if isinstance(c, LatentEdit | Objective)]
    if editing and family.keeps(pipe.scheduler) is Keeps.NEVER:
        raise ValueError(
            f"scheduler: {type(pipe.scheduler).__name__} throws away what {editing[0]} does to the "
            f"latents; use {family.carrier.__name__}.from_config(pipe.scheduler.config)"
        )


def _check_memory(
    denoiser: Any,
    family: Family,
    controls: Sequence[Control],
    keeps: Memory | None,
    recalls: Sequence[Memory],
) -> None:
    if (recalls or keeps is not None) and not family.padded:
        raise ValueError(
            f"keeps, recalls: texts of {type(denoiser).__name__} have lengths of their own, so "
            "that rows of two runs do not fit together; expected a model that pads them"
        )
    moving = [type(c).__name__ for c in controls if isinstance(c, LatentEdit | Objective)]
    if recalls and moving:
        raise ValueError(
            f"recalls: came with {moving[0]}, which moves the latents of all prompts, and "
            "remembered ones have none; expected all prompts in the call"
        )


def _wrap(
    undo: ExitStack, owner: Any, name: str, around: Callable[..., Callable[..., Any]]
) -> None:
    """Replaces a method on the instance; pipelines read its signature, so that is kept."""
    original = getattr(owner, name)
    if name in vars(owner):
        undo.callback(setattr, owner, name, original)
    else:
        undo.callback(delattr, owner, name)
    setattr(owner, name, functools.wraps(original)(around(original)))


def _asked(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _encoding(
    family: Family, pipe: Any, run: Run, original: Callable[..., Any]
) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def encode_prompt(*args: Any, **kwargs: Any) -> Any:
        given = original(*args, **kwargs)
        if run.controlled:
            asked = _asked(signature, args, kwargs)
            encode = functools.partial(_encoded, family, pipe, original, asked)
            run.began(family.encoded(pipe, asked, given), encode)
        return given

    return encode_prompt


def _encoded(
    family: Family,
    pipe: Any,
    original: Callable[..., Any],
    asked: dict[str, Any],
    texts: Sequence[str],
) -> Any:
    """[K, T, C], one text at a time: a batch of other shape would change the rounding."""
    rest = dict.fromkeys(_OTHER_TEXTS & asked.keys())
    if "do_classifier_free_guidance" in asked:
        rest["do_classifier_free_guidance"] = False
    found = []
    for text in texts:
        alone = {**asked, **rest, "prompt": [text], "num_images_per_prompt": 1}
        found.append(family.encoded(pipe, alone, original(**alone)).cond)
    return torch.cat(found)


def _setting(run: Run, original: Callable[..., Any]) -> Callable[..., Any]:
    def set_timesteps(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        run.clock.reset()
        return result

    return set_timesteps


def _stepping(scheduler: Any, run: Run, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def step(*args: Any, **kwargs: Any) -> Any:
        run.check_cancelled()
        if not run.controlled:
            return original(*args, **kwargs)
        asked = _asked(signature, args, kwargs)
        latents = run.stepping(asked["sample"])
        watched = RandomState(asked.get("generator"), latents.device) if run.paired else None
        if latents is not asked["sample"]:
            bound = signature.bind(*args, **kwargs)
            bound.arguments["sample"] = latents
            args, kwargs = bound.args, bound.kwargs
        result = original(*args, **kwargs)
        if watched is not None:
            watched.check(*run.shape)
        complete = getattr(scheduler, "state_in_first_order", True)
        if isinstance(result, tuple):
            return run.stepped(result[0], asked["timestep"], complete=complete), *result[1:]
        result.prev_sample = run.stepped(result.prev_sample, asked["timestep"], complete=complete)
        return result

    return step


def _entering(
    family: Family,
    pipe: Any,
    scheduler: Any,
    forward: inspect.Signature,
    run: Run,
    denoiser: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if run.probing or not run.controlled:
        return None
    if pipe.scheduler is not scheduler:
        raise ValueError("pipe: its scheduler was exchanged within attach; do that before")
    bound = forward.bind(denoiser, *args, **kwargs)
    came = {field: bound.arguments[name] for field, name in family.arguments.items()}
    inputs = Inputs(**came)
    if not run.clock.started:  # the pipeline has just said how many of the timesteps it will use
        run.clock.start(pipe.num_timesteps, scheduler.order)
    changed = run.entered(inputs, family.size(bound.arguments))

    def probe(sample: Any, rows: Sequence[int]) -> Any:
        asked = {**bound.arguments, **_named(family, changed)}
        asked.pop("self")
        return denoiser(**{**family.rows(asked, rows), family.arguments["sample"]: sample})

    between_steps = getattr(scheduler, "state_in_first_order", True)  # not within Heun's two calls
    if between_steps and run.objectives:
        one = torch.ones((), dtype=changed.sample.dtype, device=changed.sample.device)
        scaled = getattr(scheduler, "scale_model_input", None)  # flows do not scale
        changed = run.nudged(changed, probe, one if scaled is None else scaled(one, changed.t))
    run.rehearse(changed, probe)
    if changed is inputs:
        return None
    bound.arguments.update(_named(family, changed))
    return bound.args[1:], bound.kwargs


def _named(family: Family, inputs: Inputs) -> dict[str, Any]:
    return {name: getattr(inputs, field) for field, name in family.arguments.items()}
