"""ConsiStory's feature injection into a scene of a story, from each subject's own portrait.

Tewel et al. 2024 (arXiv:2402.03286), section 3.3, is about pictures of one subject, each of which
takes features from the anchors. ours: of several subjects each takes them from its portrait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..processors.attach import attach
from ..processors.call import Kind
from ..processors.control import Control
from ..processors.controls import InjectFeatures, Subject
from ..processors.controls.subjects import held, seat
from ..processors.families import family_of
from .correspondence import match_features, recorded_features

__all__ = ["injected_features"]


def injected_features(
    pipe: Any,
    controls: Sequence[Control],
    subjects: Sequence[Subject],
    first_run: Callable[[], Sequence[Any]],
) -> InjectFeatures:
    """The control of the second run; the first one, under `controls`, is made here.

    subjects:  in the order of their portraits, prompts 0, 1, …, after which the scene comes.
    first_run: calls the pipeline for portraits and scene, and gives latents [C, h, w].
    ValueError for a model that is no UNet.
    """
    with recorded_features(pipe) as seen, attach(pipe, controls):
        latents = first_run()[-1]
    family, scene = family_of(pipe), len(subjects)
    sites = (site for _, site in family.sites(family.denoiser(pipe)) if site.kind is Kind.SELF)
    height, width = latents.shape[-2:]
    grid = min(sites, key=lambda site: site.halvings).grid((height, width))
    features, matches = seen.of(scene + 1), []
    for number, subject in enumerate(subjects):
        assert not isinstance(subject.where, str)  # a scene's places are known before it is drawn
        place = held(subject.where, grid, subject.name)
        matches.append(match_features(features, scene, place, {number: seat(subject, grid)}))
    return InjectFeatures(tuple(matches))
