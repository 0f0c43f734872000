"""Controls: one idea a file, each named after what it does."""

from .bind_attributes import BindAttributes
from .box_layout import BoxLayout
from .excite import Excite
from .keep_layout import KeepLayout
from .local_blend import LocalBlend
from .local_window import LocalWindow
from .record_maps import RecordMaps
from .refine_words import RefineWords
from .region_prompts import RegionPrompts
from .replace_words import ReplaceWords
from .retain import Retain
from .reweight_words import ReweightWords
from .schedule_prompt import SchedulePrompt
from .segregate import Segregate
from .structure_phrases import StructurePhrases

__all__ = [
    "BindAttributes",
    "BoxLayout",
    "Excite",
    "KeepLayout",
    "LocalBlend",
    "LocalWindow",
    "RecordMaps",
    "RefineWords",
    "RegionPrompts",
    "ReplaceWords",
    "Retain",
    "ReweightWords",
    "SchedulePrompt",
    "Segregate",
    "StructurePhrases",
]
