"""The command line `attention-studio`: one command a file, every failure one sentence."""

from .app import app, main

__all__ = ["app", "main"]
