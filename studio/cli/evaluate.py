"""`evaluate`: figures measured by the judge."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..device import choose_device, choose_dtype
from ..models import describe
from ..pipelines.load import load
from .options import AsJson, Device, Dtype, Guidance, ModelName, Quiet, Seed, Steps
from .progress import progress_bar

__all__ = ["Masks", "Suite", "evaluate"]


class Suite(StrEnum):
    """What can be measured."""

    base = "base"
    edit = "edit"
    compose = "compose"
    ground = "ground"
    story = "story"
    regions = "regions"


class Masks(StrEnum):
    """Who says where subjects of a story are."""

    judge = "judge"
    words = "words"


def evaluate(
    suite: Annotated[
        Suite,
        typer.Argument(
            help="base: does the picture show what was asked? edit: does an edit change what it "
            "should and nothing else, and how much oftener than plain re-prompting? compose: by "
            "which method are all things there, in their own colours? ground: how much of what an "
            "expression names is found, rule by rule? story: by which method do subjects look "
            "as in their portraits, and stay apart? regions: is each region's thing in its region?"
        ),
    ],
    model: ModelName = "emoji-sd",
    prompts: Annotated[
        int, typer.Option(help="Prompts of all groups, edits, expressions or stories.")
    ] = 240,
    weighed: Annotated[
        int, typer.Option(min=0, help="edit: prompts whose colour is weighed.")
    ] = 60,
    limit: Annotated[
        int | None, typer.Option(min=1, help="A quick run: no more than so many of each.")
    ] = None,
    things: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=3, help="edit: things in a scene; repeat for more. Default: 1 and 2 in turn."
        ),
    ] = None,
    cross_replace: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="edit: end of the steps with the source's maps; as for `edit`."
        ),
    ] = None,
    self_replace: Annotated[
        float, typer.Option(min=0, max=1, help="edit: end of the steps with the source's layout.")
    ] = 0.4,
    blend: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="edit: threshold of the local blend; 1 = no blend."),
    ] = None,
    tuning: Annotated[
        bool,
        typer.Option(
            "--tuning", help="All but base: draw from the range on which defaults are chosen."
        ),
    ] = False,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="compose, story, regions: a method by name; repeat for more. All by default.",
        ),
    ] = None,
    step_size: Annotated[
        float, typer.Option(min=0, help="compose: how far A-STAR moves the latents.")
    ] = 0.05,
    relative: Annotated[
        bool,
        typer.Option(
            "--relative/--absolute",
            help="compose: step-size is a part of the latents' length, at most 1, or the factor "
            "of the gradient that Attend-and-Excite has.",
        ),
    ] = True,
    guided: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="compose, regions: end of the steps in which A-STAR moves, 0.3 unless given, or "
            "regions hold, 1 unless given.",
        ),
    ] = None,
    base_weight: Annotated[
        float,
        typer.Option(min=0, max=1, help="regions: weight of the picture's prompt within them."),
    ] = 0.2,
    looks: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="regions: part of the steps after which words have a place."
        ),
    ] = 0.2,
    masks: Annotated[
        Masks, typer.Option(help="story: who says where a subject is, the judge or word maps.")
    ] = Masks.judge,
    noise: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="ground: part of the way to noise; 0.2 unless given."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="base, ground: pictures at a time.")] = 8,
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for pictures, sheets and the report; edit, compose, story, regions go on "
            "with what is there.",
        ),
    ] = None,
    begin: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.999,
            help="edit, compose, story, regions: begin here, if processes share a folder.",
        ),
    ] = 0.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model or a method on emoji world and print the figures."""
    from ..evaluate import (
        METHODS,
        REGION_METHODS,
        BaseReport,
        ComposeReport,
        ComposeSettings,
        EditReport,
        GroundReport,
        RegionReport,
        RegionSettings,
        Settings,
        StoryReport,
        evaluate_base,
        evaluate_compose,
        evaluate_edit,
        evaluate_ground,
        evaluate_regions,
        evaluate_story,
    )
    from ..evaluate.story_ways import STORY_WAYS

    about = describe(model)
    if not about.nouns or about.fills:
        raise ValueError(
            f"model: {about.name} does not draw emoji world from words; expected one whose card "
            "has nouns"
        )
    pipe = load(model, device=choose_device(device), dtype=choose_dtype(dtype))
    count = prompts if limit is None else min(prompts, limit)
    side = about.image_size or 512
    drawn: dict[str, Any] = {"steps": steps, "guidance": guidance}
    report: BaseReport | EditReport | ComposeReport | GroundReport | StoryReport | RegionReport
    with progress_bar("drawing", quiet=quiet) as progress:
        common: dict[str, Any] = {
            "nouns": about.nouns,
            "seed": seed,
            "model": about.name,
            "folder": out,
            "progress": progress,
        }
        if suite == Suite.edit:
            report = evaluate_edit(
                pipe,
                size=(side, side),
                edits=count,
                weighed=weighed if limit is None else min(weighed, limit),
                settings=Settings(
                    cross_replace=cross_replace,
                    self_replace=self_replace,
                    threshold=blend,
                ),
                tuning=tuning,
                begin=begin,
                things=things or (1, 2),
                **drawn,
                **common,
            )
        elif suite == Suite.compose:
            moving = ComposeSettings(step_size=step_size, relative=relative)
            report = evaluate_compose(
                pipe,
                size=(side, side),
                prompts=count,
                methods=method or METHODS,
                settings=moving if guided is None else replace(moving, guided=guided),
                tuning=tuning,
                begin=begin,
                **drawn,
                **common,
            )
        elif suite == Suite.story:
            report = evaluate_story(
                pipe,
                size=(side, side),
                prompts=count,
                methods=method or tuple(STORY_WAYS),
                masks=masks.value,
                tuning=tuning,
                begin=begin,
                **drawn,
                **common,
            )
        elif suite == Suite.regions:
            report = evaluate_regions(
                pipe,
                size=(side, side),
                prompts=count,
                methods=method or REGION_METHODS,
                settings=RegionSettings(
                    base_weight, (0.0, 1.0 if guided is None else guided), looks
                ),
                tuning=tuning,
                begin=begin,
                **drawn,
                **common,
            )
        elif suite == Suite.ground:
            report = evaluate_ground(
                pipe, size=side, scenes=count, noise=noise, batch=batch, tuning=tuning, **common
            )
        else:
            report = evaluate_base(pipe, prompts=count, batch=batch, **drawn, **common)
    print(report.to_json() if as_json else report.table())
