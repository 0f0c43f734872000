"""The files of a story: its scenes and rehearsals, a sheet of them all, and what was done as JSON.

out/story-1f0c9a2b/scene-01.png, rehearsal-01.png, sheet.png, story.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..gallery import write_png
from ..picture_file import open_picture
from ..receipt_text import receipt_text
from ..report import receipt_facts
from ..sheet import Cell, cell_sheet
from ..whole_files import write_whole
from .carried import text_of

if TYPE_CHECKING:
    from .run import DrawnScene, DrawnStory

__all__ = ["save_story"]


def save_story(story: DrawnStory, out: Path) -> dict[str, Any]:
    """Writes everything below `out` and gives what `story.json` says.

    {"images", "portraits", "sheet", "scenes", "receipt", "judge", "masks", "timings", "recipe"};
    receipt is of the first scene, and each scene has its own.
    """
    recipe = story.recipe
    folder = out / f"story-{recipe.digest}"
    folder.mkdir(parents=True, exist_ok=True)
    scenes = [_saved(story, number, folder) for number in range(len(story.scenes))]
    sheet = folder / "sheet.png"
    write_png(_sheet(story), sheet)
    judged = [drawn.verdict for drawn in story.scenes]
    facts = {
        "images": [scene["image"] for scene in scenes],
        "portraits": {word: str(path) for word, path in story.portraits.items()},
        "reused": list(story.reused),
        "sheet": str(sheet),
        "scenes": scenes,
        "receipt": scenes[0]["receipt"],
        "judge": None if None in judged else {"pictures": [{"text": text} for text in judged]},
        "masks": story.masks,
        "timings": dict(story.timings),
        "recipe": recipe.model_dump(mode="json"),
    }
    write_whole(folder / "story.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return facts


def _saved(story: DrawnStory, number: int, folder: Path) -> dict[str, Any]:
    drawn = story.scenes[number]
    image, rehearsal = (folder / f"{kind}-{number + 1:02d}.png" for kind in ("scene", "rehearsal"))
    write_png(drawn.scene.image, image, text_of(story.recipe, number))
    if drawn.scene.rehearsal is not None:
        write_png(drawn.scene.rehearsal, rehearsal)
    return {
        "prompt": story.recipe.scenes[number].prompt,
        "said": drawn.scene.prompt,
        "image": str(image),
        "rehearsal": None if drawn.scene.rehearsal is None else str(rehearsal),
        "cast": list(drawn.cast),
        "seed": drawn.scene.seed,
        "receipt": _receipt(drawn),
        "judge": drawn.verdict,
        "seconds": drawn.seconds,
    }


def _receipt(drawn: DrawnScene) -> dict[str, Any]:
    """Keys as of other commands, with what the controls say that they did."""
    receipt, scene = drawn.receipt, drawn.scene
    warnings = (*scene.warnings, *(() if receipt is None else receipt.warnings))
    said = None if receipt is None else receipt_text(receipt, subject="the controls")
    return receipt_facts(receipt, warnings) | {"text": said, "notes": list(scene.notes)}


def _sheet(story: DrawnStory) -> Image.Image:
    """Portraits in the first row; below, each scene beside its rehearsal."""
    recipe = story.recipe
    rows: list[list[Cell | None]] = [
        [
            Cell(open_picture(story.portraits[one.word]).image(), one.portrait, [f"{one.word}"])
            for one in recipe.subjects
        ]
    ]
    for drawn in story.scenes:
        said = drawn.scene.prompt
        notes = [] if drawn.verdict is None else [drawn.verdict]
        row: list[Cell | None] = [Cell(drawn.scene.image, said, [recipe.method, *notes])]
        if drawn.scene.rehearsal is not None:
            row.append(Cell(drawn.scene.rehearsal, said, ["rehearsal"]))
        rows.append(row)
    return cell_sheet(rows)
