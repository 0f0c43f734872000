"""What a person should know about a run although it worked."""

from __future__ import annotations

from typing import Any

from .models import Model
from .recipe import Recipe

__all__ = ["cut_words", "warnings_of"]


def warnings_of(pipe: Any, recipe: Recipe, model: Model) -> list[str]:
    """Words that the text encoder does not see, and sizes for which the model was not made."""
    found = []
    # The receipts of an edit name the words that were cut in its prompts.
    prompts = () if recipe.is_edit else recipe.prompts
    for prompt in (*prompts, recipe.negative):
        cut = cut_words(pipe.tokenizer, prompt) if hasattr(pipe, "tokenizer") else ""
        if cut:
            found.append(f"the text encoder's limit cuts these words off: {cut}")
    if model.image_size and recipe.size != (model.image_size, model.image_size):
        found.append(
            f"{model.name} was trained at {model.image_size} x {model.image_size} pixels; "
            "at other sizes its pictures get worse"
        )
    return found


def cut_words(tokenizer: Any, prompt: str) -> str:
    """The end of `prompt` that its tokenizer cuts off, from the first word that is touched."""
    limit = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    tokens = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    if len(tokens["input_ids"]) <= limit:
        return ""
    first = tokens["offset_mapping"][limit][0]
    while first > 0 and not prompt[first - 1].isspace():
        first -= 1
    return prompt[first:].strip()
