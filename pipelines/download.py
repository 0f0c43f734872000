"""Fetches a model of the Hugging Face hub, only ever when somebody allowed it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["download"]

_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")


def download(model: str) -> Path:
    """The folder of the hub's cache with the weights, settings and vocabularies of "owner/name".

    Neither code nor pickled weights are fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(_PATTERNS)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"model: {model!r} could not be fetched from the hub: {said}") from error
