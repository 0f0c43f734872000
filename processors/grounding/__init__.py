"""Where in a given picture an expression is: from the attention of its words to a map and a mask.

RefAM, Kukleva et al. 2025 (arXiv:2509.22650).
"""

from .heat import heat_of, leaning, shares
from .record_tokens import RecordTokens, Token, TokenColumns, columns_of, tokens_of
from .region import Region, region_of
from .rules import GroundRules
from .sinks import find_sinks, without_sinks
from .words import Role, expression_roles, ground_prompt, sides_of

__all__ = [
    "GroundRules",
    "RecordTokens",
    "Region",
    "Role",
    "Token",
    "TokenColumns",
    "columns_of",
    "expression_roles",
    "find_sinks",
    "ground_prompt",
    "heat_of",
    "leaning",
    "region_of",
    "shares",
    "sides_of",
    "tokens_of",
    "without_sinks",
]
