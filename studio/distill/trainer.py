"""The loop: the teacher's pictures, noise, two velocities, three losses; resumable, on accelerate.

    accelerate launch --num_processes 4 -m attention_studio train clear --start DIR …

Every random number follows from the seed, the step and the process, so a run that was interrupted
goes on as if it had not been.
"""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..pipelines.clear_weights import save_clear
from ..processors.attach import attach
from ..processors.families import family_of
from .checkpoint import restore, save, stamp
from .low_rank import merge_low_rank
from .settings import Distillation
from .student import Noised, Student, chosen_blocks, predicted, seen
from .teacher import Pictures, draw_pictures

__all__ = ["Distilled", "distill"]

_PARTS = ("flow", "teacher", "attention")


@dataclass(frozen=True)
class Distilled:
    """What a run did: all steps, those of this run, and the mean of its last ten losses."""

    steps: int
    now: int
    loss: float
    weights: Path


@dataclass(frozen=True, eq=False)
class _Data:
    """What steps are made of: pictures, noise levels [1000], and the pipeline for the rest."""

    pipe: Any
    pictures: Pictures
    sigmas: Tensor
    settings: Distillation

    def draw(self, turn: int, device: torch.device) -> Noised:
        """The batch number `turn` of all, over steps, accumulation and processes."""
        given, (height, width) = self.settings, self.pictures.size
        draw = torch.Generator("cpu").manual_seed(given.seed * 1_000_003 + turn)
        chosen = torch.randint(self.pictures.count, (given.batch,), generator=draw).tolist()
        unprompted = (torch.rand(given.batch, generator=draw) < given.unprompted).tolist()
        batch = self.pictures.batch(chosen, unprompted)
        levels = torch.randint(len(self.sigmas), (given.batch,), generator=draw)
        noise = torch.randn(batch.latents.shape, generator=draw)
        sigma, clean = self.sigmas[levels].float(), batch.latents.float()
        noisy = torch.lerp(clean, noise, sigma[:, None, None])
        kind = self.pipe.transformer.dtype
        added = {
            "pooled_projections": batch.pooled.to(device, kind),
            "txt_ids": torch.zeros(batch.context.shape[1], 3, device=device, dtype=kind),
            "img_ids": self.pipe._prepare_latent_image_ids(
                given.batch, height // 2, width // 2, device, kind
            ),
        }
        if self.pipe.transformer.config.guidance_embeds:
            added["guidance"] = torch.full((given.batch,), given.told, device=device)
        return Noised(
            noisy.to(device, kind),
            sigma.to(device),
            batch.context.to(device, kind),
            added,
            (noise - clean).to(device),
        )


def distill(
    pipe: Any,
    prompts: Sequence[str],
    settings: Distillation,
    folder: Path,
    *,
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
    chosen_blocks(pipe, pipe.transformer, settings.every)  # an error, before pictures are drawn
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
    fresh = type(pipe.scheduler).from_config(pipe.scheduler.config)  # a run has changed the other
    data = _Data(pipe, pictures, fresh.sigmas, settings)
    log = _Log(folder / "losses.csv", first) if accelerator.is_main_process else None
    recent: list[float] = []
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1, (step + 1) / settings.warmup_steps)
        sums = torch.zeros(4)
        for part in range(settings.accumulate):
            turn = (step * settings.accumulate + part) * place[1] + place[0]
            given = data.draw(turn, accelerator.device)
            with torch.no_grad(), seen(teacher, student.blocks) as attentions:
                velocity = predicted(pipe, teacher, given)
            with accelerator.accumulate(model), accelerator.autocast(), student.windows():
                loss, parts = model(given, velocity, attentions)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(trained, 1.0)
                stepper.step()
                stepper.zero_grad()
            sums += torch.cat([loss.detach()[None], parts]).float().cpu() / settings.accumulate
        recent = [*recent[-9:], float(sums[0])]
        done = step + 1
        tell("steps", done, settings.steps)
        if log is not None:
            log.write(done, sums.tolist())
            if done % settings.save_every == 0 or done == settings.steps:
                save(student, optimizer, done, file, made)
            if shown and (done % settings.show_every == 0 or done == settings.steps):
                _show(pipe, shown, student, pictures, folder / "samples" / f"{done:06d}.png")
    accelerator.wait_for_everyone()
    weights = folder / "clear.safetensors"
    if settings.rank is not None:
        merge_low_rank(student.linears)
    pipe.transformer.requires_grad_(False).eval()
    if accelerator.is_main_process:
        save_clear(pipe.transformer, student.attentions, student.window, weights)
    loss = sum(recent) / len(recent) if recent else float("nan")
    return Distilled(max(first, settings.steps), len(range(first, settings.steps)), loss, weights)


def _show(pipe: Any, prompts: Sequence[str], student: Student, of: Pictures, file: Path) -> None:
    """The prompts drawn with windows, side by side."""
    from PIL import Image

    settings = student.settings
    height, width = (side * pipe.vae_scale_factor for side in of.size)
    images = []
    for i, prompt in enumerate(prompts):
        with torch.no_grad(), attach(pipe, [student.window]):
            images += pipe(
                prompt,
                height=height,
                width=width,
                generator=torch.Generator("cpu").manual_seed(settings.seed + i),
                **settings.call(pipe),
            ).images
    sheet = Image.new("RGB", (width * len(images), height))
    for i, image in enumerate(images):
        sheet.paste(image, (width * i, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(file)


class _Log:
    """One line a step; those of steps that are made again are dropped."""

    def __init__(self, file: Path, done: int) -> None:
        self._file = file
        head = [["step", "loss", *_PARTS]]
        rows = list(csv.reader(file.open(newline=""))) if file.is_file() else head
        kept = [row for row in rows[1:] if int(row[0]) <= done]
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="") as out:
            csv.writer(out).writerows([*head, *kept])

    def write(self, step: int, values: Sequence[float]) -> None:
        with self._file.open("a", newline="") as out:
            csv.writer(out).writerow([step, *(f"{value:.6g}" for value in values)])


def _silent(_kind: str, _done: int, _count: int) -> None:
    pass
