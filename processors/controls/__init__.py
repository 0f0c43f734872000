"""Controls: one idea a file, each named after what it does."""

from .excite import Excite
from .keep_layout import KeepLayout
from .local_blend import LocalBlend
from .record_maps import RecordMaps
from .refine_words import RefineWords
from .replace_words import ReplaceWords
from .retain import Retain
from .reweight_words import ReweightWords
from .schedule_prompt import SchedulePrompt
from .segregate import Segregate

__all__ = [
    "Excite",
    "KeepLayout",
    "LocalBlend",
    "RecordMaps",
    "RefineWords",
    "ReplaceWords",
    "Retain",
    "ReweightWords",
    "SchedulePrompt",
    "Segregate",
]
