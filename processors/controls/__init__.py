"""Controls: one idea a file, each named after what it does."""

from .keep_layout import KeepLayout
from .local_blend import LocalBlend
from .record_maps import RecordMaps
from .refine_words import RefineWords
from .replace_words import ReplaceWords
from .reweight_words import ReweightWords
from .schedule_prompt import SchedulePrompt

__all__ = [
    "KeepLayout",
    "LocalBlend",
    "RecordMaps",
    "RefineWords",
    "ReplaceWords",
    "ReweightWords",
    "SchedulePrompt",
]
