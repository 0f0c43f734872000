"""The phase that teaches sides says what its pictures show."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from attention_studio.emoji.expect import expect
from attention_studio.emoji.judge import judge
from attention_studio.emoji.train.emoji_flux import draw_times
from attention_studio.emoji.train.pictures import Phase, captioned, levels_of
from attention_studio.emoji.train.placed import placed
from attention_studio.emoji.words import CORE_NOUNS, NOUNS


def test_what_the_judge_sees_stands_where_the_caption_says() -> None:
    seen = 0
    for caption, image in islice(placed(5, NOUNS, 128), 60):
        asked = expect(caption)
        if caption.startswith("sideways"):  # the judge knows upright things
            image = np.ascontiguousarray(np.rot90(image, -1))
            turned = {"left of": "above", "right of": "below"}
            assert asked.relation in turned, caption
            relation = turned[asked.relation]
        elif asked.relation in ("left of", "right of", "above", "below"):
            relation = asked.relation
        else:
            continue
        found = judge(image)
        boxes = dict(zip(found.nouns, found.boxes, strict=True))
        names = [noun for noun, _ in asked.things]
        if len(names) == 2 and all(name in boxes for name in names):
            seen += 1
            a, b = (boxes[name] for name in names)
            axis = relation in ("above", "below")
            ahead = b[axis] + b[axis + 2] - a[axis] - a[axis + 2]
            assert (ahead > 0) == (relation in ("left of", "above")), caption
    assert seen >= 15


def test_one_thing_alone_stands_at_the_side_that_is_said() -> None:
    """Nobody says where the other one was, but right of it is seldom the left edge."""
    centres: dict[str, list[float]] = {"to the left of": [], "to the right of": []}
    drawn = [x for x in islice(placed(6, NOUNS, 128), 160) if x[0].startswith("to the")]
    for caption, image in drawn:
        boxes = judge(image).boxes
        for side, found in centres.items():
            if caption.startswith(side) and len(boxes) == 1:
                found.append((boxes[0][0] + boxes[0][2]) / 2)
    left, right = (np.mean(found) for found in centres.values())
    assert left > 0.6 and right < 0.4  # to the left of a thing: that thing is at the right


def test_all_kinds_of_scene_are_there_and_repeat_by_seed() -> None:
    captions = [caption for caption, _ in islice(placed(7, CORE_NOUNS, 32), 300)]
    again = [caption for caption, _ in islice(captioned(Phase.placed, 7, CORE_NOUNS, 32), 300)]
    assert captions == again
    assert sum(c.startswith("sideways") for c in captions) in range(40, 85)
    assert sum("," in c.removeprefix("sideways,") for c in captions) > 30  # styles and threes
    assert sum(len(expect(c).things) == 1 for c in captions) > 60


def test_its_times_lie_nearer_to_noise() -> None:
    torch.manual_seed(0)
    usual = draw_times(20_000).median()
    assert draw_times(20_000, levels=levels_of(Phase.placed)).median() > usual + 0.05
