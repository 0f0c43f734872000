"""What `attention-studio train` does: pick the model, train it, write weights and card."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxPipeline, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ...pipelines.load import load
from ...whole_files import whole
from ..words import CORE_NOUNS, HELD_OUT_NOUNS, NOUNS
from .autoencoder import train_autoencoder
from .card import card_of, read_card, write_card
from .emoji_flux import train_emoji_flux
from .emoji_flux_fill import train_emoji_flux_fill
from .emoji_sd import train_emoji_sd
from .judge_data import Batch
from .loop import Budget
from .pictures import Phase, check_nouns
from .save import save_pipeline

__all__ = ["MODELS", "packaged_autoencoder", "run"]

MODELS = ("emoji-sd", "emoji-flux", "emoji-flux-fill", "judge")
_IMAGE_MODELS = {"emoji-sd": train_emoji_sd, "emoji-flux": train_emoji_flux}
EMBEDDED = Path(__file__).parent.parent / "weights"
_VERSION = "2"
_JUDGE_VERSION = "1"
_REPAINTED = 2400
_LARGE_BATCH = 64
_REPAINTED_SEED = 0x4E9A


def run(
    name: str,
    *,
    minutes: float,
    out: Path,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    resume: bool = True,
    nouns: tuple[str, ...] = CORE_NOUNS,
    fresh_autoencoder: bool = False,
    phase: str = Phase.everything,
    compile: bool = False,
    start: Path | None = None,
    decay: float = 0.3,
    repainter: Path | None = None,
    workers: int = 0,
    batch: int = 16,
    rate: float = 6e-4,
) -> Path:
    """Train a model for `minutes` and return the folder that holds it, `out / name`.

    An interrupted run goes on from the checkpoints in `out` unless `resume` is False. The image
    models use the packaged autoencoder; with `fresh_autoencoder` a sixth of the time trains a new
    one.
    start: folder of a finished model to go on from, when there is no checkpoint.
    decay: the last part of an image model's time, in which the learning rate falls to zero.
    workers, batch, rate: of an image model, see Budget; 256 pictures at 1e-3 suit a GPU.
    repainter: folder of an image model that draws a part of the judge's pictures anew; that takes
               twenty minutes or more on a CPU, besides `minutes`.
    """
    if name not in MODELS:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(MODELS)}")
    check_nouns(nouns)
    if threads is not None:
        torch.set_num_threads(threads)
    budget = Budget(
        out / "checkpoints" / name,
        minutes,
        seed=seed,
        device=device,
        threads=threads,
        resume=resume,
    )
    folder = out / name
    if name == "judge":
        return _judge(budget, folder, start, repainter)
    if name == "emoji-flux-fill":
        budget = _for_pictures(budget, workers, batch, rate, decay)
        return _fill(budget, folder, start or EMBEDDED / "emoji-flux", compile=compile)
    if fresh_autoencoder:
        stage = replace(budget, folder=out / "checkpoints" / "autoencoder", minutes=minutes / 6)
        vae, _ = train_autoencoder(replace(stage, batch=8, learning_rate=1.5e-3))
        budget = replace(budget, minutes=minutes * 5 / 6)
    else:
        vae = packaged_autoencoder()
    budget = _for_pictures(budget, workers, batch, rate, decay)
    pipe, done = _IMAGE_MODELS[name](
        budget, vae, nouns=nouns, start=start, phase=Phase(phase), compile=compile
    )
    save_pipeline(pipe, folder)
    write_card(card_of(name, _VERSION, vae.config.sample_size, nouns, budget, done), folder)
    return folder


def _for_pictures(budget: Budget, workers: int, batch: int, rate: float, decay: float) -> Budget:
    """ours: a short average for small batches, as suits runs of some thousand steps."""
    large = batch >= _LARGE_BATCH
    return replace(
        budget,
        workers=workers,
        batch=batch,
        learning_rate=rate,
        warmup_steps=200 if large else 60,
        decay=decay,
        ema=0.999 if large else 0.99,
    )


def _fill(budget: Budget, folder: Path, base: Path, *, compile: bool) -> Path:
    card = read_card(base)
    pipe = load(base, dtype=torch.float32)
    if not isinstance(pipe, FluxPipeline):
        raise ValueError(f"start: {base} holds a {type(pipe).__name__}; expected a FLUX pipeline")
    beside = base.resolve().parent in (folder.resolve().parent, EMBEDDED.resolve())
    named = base.name if beside else str(base.resolve())
    done = train_emoji_flux_fill(
        budget, pipe, folder, nouns=card.nouns, base_folder=named, compile=compile
    )
    data = f"scenes with holes, as a difference to {card.name} {card.version}"
    write_card(
        card_of(folder.name, card.version, card.image_size, card.nouns, budget, done, data=data),
        folder,
    )
    return folder


def packaged_autoencoder() -> AutoencoderKL:
    """The autoencoder inside the packaged `emoji-sd`, in fp32."""
    folder = EMBEDDED / "emoji-sd" / "vae"
    return AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)


def _judge(budget: Budget, folder: Path, start: Path | None, repainter: Path | None) -> Path:
    from ..judge_net import JudgeNet
    from .train_judge import save_judge, train_judge

    vae = packaged_autoencoder() if (EMBEDDED / "emoji-sd" / "vae").is_dir() else None
    net, done = train_judge(
        replace(budget, batch=16, learning_rate=4e-3),
        vae,
        start=None if start is None else JudgeNet.load(start),
        repainted=None if repainter is None else _repainted(budget, repainter),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_judge(net, folder)
    nouns = (*NOUNS, *HELD_OUT_NOUNS)
    data = "scenes of all nouns and combinations, disturbed, broken and through the autoencoder"
    if repainter is not None:
        data += f", half of them drawn anew by {repainter.name}"
    write_card(card_of("judge", _JUDGE_VERSION, 128, nouns, budget, done, data=data), folder)
    return folder


def _repainted(budget: Budget, repainter: Path) -> Batch:
    """The repainted pictures of a run, kept beside its checkpoint."""
    from .repainted import repainted

    file = budget.folder / "repainted.safetensors"
    card = read_card(repainter)
    facts = {"by": asdict(replace(card, figures={})), "count": _REPAINTED, "seed": budget.seed}
    made = json.dumps(facts)
    if budget.resume and file.is_file():
        with safe_open(file, "pt") as kept:
            before = (kept.metadata() or {}).get("made")
        if before != made:
            raise ValueError(
                f"repainter: {file} was drawn by {before}, and {made} is asked for; expected the "
                "same, --no-resume or a folder of its own"
            )
        return Batch(**load_file(file))
    pipe = load(repainter)
    if not isinstance(pipe, StableDiffusionPipeline):
        raise ValueError(
            f"repainter: {repainter} holds a {type(pipe).__name__}; expected one like emoji-sd"
        )
    drawn = repainted(pipe, _REPAINTED, nouns=card.nouns, seed=(_REPAINTED_SEED, budget.seed))
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part:
        tensors = {name: value.contiguous() for name, value in vars(drawn).items()}
        save_file(tensors, part, metadata={"made": made})
    return drawn
