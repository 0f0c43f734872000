"""Stories for people: a cast and scenes written down, the files that come of them, jobs of the app.

Only `recipe` and `job` are imported here, which need no torch.
"""

from .job import STORY, StoryJob, is_story
from .recipe import METHODS, SceneSpec, StoryRecipe, SubjectSpec

__all__ = [
    "METHODS",
    "STORY",
    "SceneSpec",
    "StoryJob",
    "StoryRecipe",
    "SubjectSpec",
    "is_story",
]
