"""The second text side of `emoji-flux`: a T5 tokenizer for any text and a one-layer T5 encoder.

As with CLIP every word of emoji world is one token and other words fall apart into letters; a
character outside ASCII is the unknown token. ours: one layer, so that words keep their place.
"""

from __future__ import annotations

from transformers import T5Config, T5EncoderModel, T5Tokenizer

from .tokenizer import MAX_TOKENS, WIDTH, words

__all__ = ["build_t5_encoder", "build_t5_tokenizer"]

_SPACE = "\u2581"  # how T5 writes the space before a word


def build_t5_tokenizer() -> T5Tokenizer:
    """A `T5Tokenizer` of about 400 entries and 48 positions."""
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (_SPACE, -8.0)]
    pieces += [(_SPACE + word, -2.0) for word in words()]
    pieces += [(letter, -10.0) for letter in letters]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=MAX_TOKENS)


def build_t5_encoder(tokenizer: T5Tokenizer) -> T5EncoderModel:
    """An untrained one-layer `T5EncoderModel` for that tokenizer."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            d_kv=WIDTH // 4,
            d_ff=2 * WIDTH,
            num_layers=1,
            num_heads=4,
            relative_attention_max_distance=MAX_TOKENS,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
