"""Block-sparse attention over lists of tiles, shared by the disc and the labelled kernels.

A *tile* is a patch of a token grid or a run of tokens; a *job* is one tile whose rows a program
owns, the other tiles that it meets (a list), and up to two ranges of tokens that it meets whole.
The kernels know nothing else: `disc` and `labelled` differ in how they list tiles and in the
predicate of a tile that is met in part.
"""

__all__: list[str] = []
