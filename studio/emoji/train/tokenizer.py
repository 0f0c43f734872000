"""The text side of the embedded models: a CLIP tokenizer for any text and a one-layer CLIP encoder.

Every word of emoji world is one token; anything else falls apart into byte-level pieces, so no
text is an error. ours: one causal layer only, because in deeper encoders a colour moves into its
noun's token and the attention maps of colour words lose their place.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerBase

from ..words import BACKGROUNDS, COLOURS, GLYPHS, RELATIONS, SIZES, STYLES

__all__ = [
    "FILLERS",
    "MAX_TOKENS",
    "PREFIXES",
    "WIDTH",
    "build_text_encoder",
    "build_tokenizer",
    "token_ids",
    "words",
]

MAX_TOKENS = 48
WIDTH = 160

PREFIXES: tuple[str, ...] = ("a photo of", "a picture of", "a drawing of", "an image of")
FILLERS: tuple[str, ...] = ("cute", "nice", "shiny", "old", "new", "happy", "funny", "pretty")
_OTHER_WORDS = """
    a an the and with of on in at is are to next left right above below under over behind front
    two three one no not photo picture drawing image art emoji scene background plain it that this
    has have holding wearing standing sitting lying flying big small little large tiny huge dark
    light bright day sky sun sand sea lake forest desert city street room table black brown grey
    gray gold silver style painting sketch pixel pencil watercolor oil cartoon realistic beautiful
    . , ! ? - ; :
"""


def words() -> list[str]:
    """Every word that is one token, in a fixed order."""
    phrases = [*GLYPHS, *COLOURS, *BACKGROUNDS, *BACKGROUNDS.values(), *RELATIONS, *SIZES, *STYLES]
    phrases += [*PREFIXES, *FILLERS, _OTHER_WORDS]
    return list(dict.fromkeys(" ".join(phrases).split()))


def build_tokenizer() -> CLIPTokenizer:
    """A `CLIPTokenizer` of about 1,100 entries and 48 positions."""
    alphabet = list(_byte_alphabet())
    merges: list[tuple[str, str]] = []
    ranks: dict[tuple[str, str], int] = {}
    for word in words():
        # Merges added later never disturb an earlier word: it always has a better rank left.
        while len(pieces := _split(word, ranks)) > 1:
            ranks[pieces[0], pieces[1]] = len(merges)
            merges.append((pieces[0], pieces[1]))
    entries = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(m) for m in merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained one-layer `CLIPTextModel` for that tokenizer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def token_ids(tokenizer: PreTrainedTokenizerBase, captions: list[str]) -> Tensor:
    """Ids `[B, T]`, cut or padded to all positions of the tokenizer."""
    ids: Tensor = tokenizer(
        captions,
        padding="max_length",
        truncation=True,
        max_length=MAX_TOKENS,
        return_tensors="pt",
    ).input_ids
    return ids


def _split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one ASCII word with the merges so far."""
    pieces = [*word[:-1], word[-1] + "</w>"]
    while len(pieces) > 1:
        best = min(pairwise(pieces), key=lambda p: ranks.get(p, len(ranks)))
        if best not in ranks:
            break
        i = next(i for i in range(len(pieces)) if tuple(pieces[i : i + 2]) == best)
        pieces[i : i + 2] = ["".join(best)]
    return pieces


def _byte_alphabet() -> str:
    """The 256 printable characters that stand for bytes in GPT-2's and CLIP's vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return "".join(chr(b) if b in plain else chr(next(spare)) for b in range(256))
