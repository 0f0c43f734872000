"""The vocabulary of emoji world: what a scene can hold, and which combinations training never sees.

ours: nouns are Noto Color Emoji glyphs (SIL OFL 1.1) chosen for silhouettes that differ; the first
sixteen are the ones a first, short training run learns.
"""

from __future__ import annotations

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "CORE_NOUNS",
    "GLYPHS",
    "HELD_OUT_COLOURS",
    "HELD_OUT_NOUNS",
    "HELD_OUT_PAIRS",
    "NOUNS",
    "RELATIONS",
    "SIZES",
    "STYLES",
    "article",
]

CORE_NOUNS: tuple[str, ...] = (
    "cat", "dog", "frog", "bear", "apple", "car", "house", "balloon",
    "clock", "crown", "tree", "star", "flower", "fish", "bird", "ball",
)  # fmt: skip

NOUNS: tuple[str, ...] = (
    *CORE_NOUNS,
    "boat", "book", "bell", "key", "hat", "cake", "duck", "owl", "pumpkin", "mushroom",
    "robot", "rocket", "umbrella", "guitar", "cup", "lamp", "heart", "gift", "turtle", "moon",
)  # fmt: skip

# Never drawn while an image model or its autoencoder trains: they are the new subjects of the
# personalisation methods. The judge alone knows them, since it has to recognise them.
HELD_OUT_NOUNS: tuple[str, ...] = ("butterfly", "snail", "shoe", "rabbit", "penguin", "cactus")

GLYPHS: dict[str, str] = {
    "cat": "\U0001f431", "dog": "\U0001f436", "frog": "\U0001f438", "bear": "\U0001f43b",
    "apple": "\U0001f34e", "car": "\U0001f697", "house": "\U0001f3e0", "balloon": "\U0001f388",
    "clock": "\u23f0", "crown": "\U0001f451", "tree": "\U0001f333", "star": "\u2b50",
    "flower": "\U0001f33b", "fish": "\U0001f41f", "bird": "\U0001f426", "ball": "\u26bd",
    "boat": "\u26f5", "book": "\U0001f4d5", "bell": "\U0001f514", "key": "\U0001f511",
    "hat": "\U0001f3a9", "cake": "\U0001f382", "duck": "\U0001f986", "owl": "\U0001f989",
    "pumpkin": "\U0001f383", "mushroom": "\U0001f344", "robot": "\U0001f916",
    "rocket": "\U0001f680", "umbrella": "\u2602", "guitar": "\U0001f3b8", "cup": "\u2615",
    "lamp": "\U0001f4a1", "heart": "\u2764", "gift": "\U0001f381", "turtle": "\U0001f422",
    "moon": "\U0001f319", "butterfly": "\U0001f98b", "snail": "\U0001f40c", "shoe": "\U0001f45f",
    "rabbit": "\U0001f430", "penguin": "\U0001f427", "cactus": "\U0001f335",
}  # fmt: skip

# sRGB, 0-255: the mid tone of a tinted object.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (224, 36, 36),
    "orange": (250, 130, 16),
    "yellow": (250, 216, 36),
    "green": (44, 168, 60),
    "blue": (40, 96, 232),
    "purple": (136, 52, 196),
    "pink": (255, 128, 190),
    "white": (240, 240, 244),
}

# Word -> the phrase that ends a caption.
BACKGROUNDS: dict[str, str] = {
    "grass": "on grass",
    "snow": "in the snow",
    "beach": "on the beach",
    "night": "at night",
    "sunset": "at sunset",
    "water": "in the water",
    "plain": "on a plain background",
}

RELATIONS: tuple[str, ...] = ("and", "with", "next to", "above", "below", "left of", "right of")
SIZES: tuple[str, ...] = ("big", "small")
STYLES: tuple[str, ...] = ("pixel art", "pencil sketch", "watercolour")

# Unordered pairs that never share a training picture.
HELD_OUT_PAIRS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair.split("+"))
    for pair in (
        "cat+car cat+house dog+balloon frog+crown bear+apple apple+clock car+star house+fish "
        "balloon+bird clock+flower crown+tree star+ball flower+dog fish+frog bird+bear tree+ball "
        "boat+cat book+dog bell+frog key+bear hat+apple cake+car duck+house owl+balloon "
        "pumpkin+clock mushroom+crown robot+tree rocket+star umbrella+flower guitar+fish cup+bird "
        "lamp+ball heart+boat gift+book turtle+bell moon+key duck+hat robot+cake owl+rocket "
        "guitar+umbrella"
    ).split()
)

# Noun -> the one colour it never wears in training.
HELD_OUT_COLOURS: dict[str, str] = {
    "cat": "blue", "dog": "green", "frog": "purple", "bear": "pink", "apple": "yellow",
    "car": "white", "house": "orange", "balloon": "red", "clock": "green", "crown": "blue",
    "tree": "purple", "star": "pink", "flower": "white", "fish": "orange", "bird": "red",
    "ball": "yellow", "boat": "blue", "book": "green", "bell": "purple", "key": "pink",
    "hat": "yellow", "cake": "white", "duck": "orange", "owl": "red", "pumpkin": "blue",
    "mushroom": "green", "robot": "purple", "rocket": "pink", "umbrella": "yellow",
    "guitar": "white", "cup": "orange", "lamp": "red", "heart": "blue", "gift": "green",
    "turtle": "purple", "moon": "pink",
}  # fmt: skip


def article(word: str) -> str:
    """The indefinite article that English puts before `word`."""
    return "an" if word[0] in "aeiou" else "a"
