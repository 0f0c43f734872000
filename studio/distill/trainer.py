"""The loop: the teacher's pictures, noise, two velocities, three losses; resumable, on accelerate.

    accelerate launch --num_processes 4 -m attention_studio train clear --start DIR …

Every random number follows from the seed, the step and the process, so a run that was interrupted
goes on as if it had not been.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..pipelines.clear_weights import save_clear
from ..processors.call import Step
from ..processors.families import family_of
from .checkpoint import restore, save, stamp
from .data import Data
from .losses import Losses
from .low_rank import merge_low_rank
from .settings import Distillation
from .student import Student, chosen_blocks, predicted, seen
from .teacher import Images, Pictures, draw_pictures

__all__ = ["Distilled", "distill"]


@dataclass(frozen=True)
class Distilled:
    """What a run did: all steps, those of this run, and the mean of its last ten losses."""

    steps: int
    now: int
    loss: float
    weights: Path


def distill(
    pipe: Any,
    prompts: Sequence[str],
    settings: Distillation,
    folder: Path,
    *,
    images: Images | None = None,
    shown: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
    mixed_precision: str | None = None,
    cpu: bool = False,
    resume: bool = True,
) -> Distilled:
    """Trains `pipe.transformer` in place; it ends with the window's weights, LoRA merged.

    pipe:    a FLUX pipeline, which first draws `prompts` as the teacher; each process moves its
             own to its device.
    folder:  `pictures/`, `checkpoint.safetensors`, `losses.csv`, `samples/` and, at the end,
             `clear.safetensors` for `pipelines.load_clear`. What is there is gone on with.
    images:  ours: what to learn from instead of the teacher's own pictures of the prompts, which
             cost as much as training where it needs many steps; by number and (height, width).
    shown:   prompts that are drawn with windows every `show_every` steps.
    progress: told "pictures" or "steps", how many are done and how many there are.
    mixed_precision, cpu: of accelerate: "no", "bf16" or "fp16", None = as it was launched; CPU
             although there is a GPU.
    resume:  False = pictures and steps begin anew, whatever the folder holds.

    ValueError for a pipeline that is no FLUX, for no prompts, and where the folder's contents were
    made with other settings.
    """
    from accelerate import Accelerator

    if not prompts:
        raise ValueError("prompts: none came; expected those of the teacher's pictures")
    if family_of(pipe).name != "flux":
        raise ValueError(f"pipe: came a {type(pipe).__name__}; expected a FLUX pipeline")
    # An error comes before pictures are drawn.
    blocks = chosen_blocks(pipe, pipe.transformer, settings.every)
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=mixed_precision,
        gradient_accumulation_steps=settings.accumulate,
    )
    pipe.to(accelerator.device)
    tell = progress if progress and accelerator.is_main_process else _silent
    place = accelerator.process_index, accelerator.num_processes
    pictures = draw_pictures(
        *(pipe, prompts, settings, folder / "pictures"),
        images=images,
        place=place,
        anew=not resume,
        progress=lambda done, count: tell("pictures", done, count),
    )
    accelerator.wait_for_everyone()
    torch.manual_seed(settings.seed)  # of low-rank changes: the same in every process
    teacher = copy.deepcopy(pipe.transformer).eval().requires_grad_(False)
    student = Student(pipe, pipe.transformer, settings)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    file, made = folder / "checkpoint.safetensors", stamp(settings, len(prompts))
    first = restore(student, optimizer, file, made) if resume else 0
    model, stepper = accelerator.prepare(student, optimizer)
    data = Data(pipe, pictures, settings, accelerator.device)
    main = accelerator.is_main_process
    losses = Losses(folder / "losses.csv" if main else None, first)
    with student.windows(pictures.size):
        for step in range(first, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
            sums = torch.zeros(4, device=accelerator.device)
            for part in range(settings.accumulate):
                given = data.draw((step * settings.accumulate + part) * place[1] + place[0])
                with torch.no_grad(), accelerator.autocast(), seen(teacher, blocks) as attentions:
                    velocity = predicted(pipe, teacher, given)
                with accelerator.accumulate(model):
                    loss, parts = model(given, velocity, attentions)  # which autocasts by itself
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(trained, 1.0)
                    stepper.step()
                    stepper.zero_grad()
                sums += torch.cat([loss.detach()[None], parts]).float() / settings.accumulate
            losses.add(sums)
            done = step + 1
            tell("steps", done, settings.steps)
            if main and (done % settings.save_every == 0 or done == settings.steps):
                losses.write()
                save(student, optimizer, done, file, made)
            if main and shown and (done % settings.show_every == 0 or done == settings.steps):
                _show(pipe, shown, student, pictures, folder / "samples" / f"{done:06d}.png")
    accelerator.wait_for_everyone()
    weights = folder / "clear.safetensors"
    if settings.rank is not None:
        merge_low_rank(student.linears)
    pipe.transformer.requires_grad_(False).eval()
    if main:
        save_clear(pipe.transformer, student.attentions, student.window, weights)
    now = len(range(first, settings.steps))
    return Distilled(max(first, settings.steps), now, losses.mean, weights)


def _show(pipe: Any, prompts: Sequence[str], student: Student, of: Pictures, file: Path) -> None:
    """The prompts drawn, side by side, with the windows that the transformer has now."""
    from PIL import Image

    settings = student.settings

    def turned(_pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        student.step = Step(step + 1, step + 1, settings.drawn_in, 0.0)  # the next one
        return tensors

    height, width = (side * pipe.vae_scale_factor for side in of.size)
    images: list[Any] = []
    for start in range(0, len(prompts), settings.drawn_batch):
        some = list(prompts[start : start + settings.drawn_batch])
        seeds = range(settings.seed + start, settings.seed + start + len(some))
        student.step = Step(0, 0, settings.drawn_in, 0.0)
        with torch.no_grad():
            images += pipe(
                some,
                height=height,
                width=width,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                callback_on_step_end=turned,
                **settings.call(pipe, len(some)),
            ).images
    sheet = Image.new("RGB", (width * len(images), height))
    for i, image in enumerate(images):
        sheet.paste(image, (width * i, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


def _silent(_kind: str, _done: int, _count: int) -> None:
    pass
