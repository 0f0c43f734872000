"""`python -m attention_studio` is the command line."""

from .cli import main

main()
