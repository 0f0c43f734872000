"""`python -m attention_studio` is the command line."""

from .cli import main

if __name__ == "__main__":  # not in the child processes of `multiprocessing`
    main()
