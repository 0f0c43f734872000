"""Controls: one idea a file, each named after what it does."""

from .align_style import AlignStyle
from .bind_attributes import BindAttributes
from .blend_queries import BlendQueries
from .box_layout import BoxLayout
from .excite import Excite
from .find_places import FindPlaces
from .follow_source import FollowSource
from .inject_features import InjectFeatures, Match
from .isolate_subjects import IsolateSubjects
from .keep_layout import KeepLayout
from .local_blend import LocalBlend
from .local_window import LocalWindow
from .place_portraits import PlacePortraits
from .read_subject_prompts import ReadSubjectPrompts
from .record_maps import RecordMaps
from .refine_words import RefineWords
from .region_prompts import RegionPrompts
from .replace_words import ReplaceWords
from .reposition_subjects import RepositionSubjects
from .retain import Retain
from .reweight_words import ReweightWords
from .schedule_prompt import SchedulePrompt
from .segregate import Segregate
from .share_subjects import ShareSubjects
from .share_tokens import ShareTokens
from .structure_phrases import StructurePhrases
from .subjects import Subject

__all__ = [
    "AlignStyle",
    "BindAttributes",
    "BlendQueries",
    "BoxLayout",
    "Excite",
    "FindPlaces",
    "FollowSource",
    "InjectFeatures",
    "IsolateSubjects",
    "KeepLayout",
    "LocalBlend",
    "LocalWindow",
    "Match",
    "PlacePortraits",
    "ReadSubjectPrompts",
    "RecordMaps",
    "RefineWords",
    "RegionPrompts",
    "ReplaceWords",
    "RepositionSubjects",
    "Retain",
    "ReweightWords",
    "SchedulePrompt",
    "Segregate",
    "ShareSubjects",
    "ShareTokens",
    "StructurePhrases",
    "Subject",
]
