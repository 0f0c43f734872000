"""Small tokenizers of every kind a family has, and more than 200 words to look up in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from attention_studio.processors.prompts import TextBlock, TokenizedText, tokenize

PLAIN = """
cat dog frog bear apple car house balloon clock crown tree flower boat train plane rocket star moon
sun cloud rainbow snowman guitar violin drum piano camera phone laptop book pencil brush key lock
hammer wrench ladder bridge castle tent lamp candle bottle cup plate fork spoon knife bread cheese
pizza burger cake cookie candy grapes melon banana cherry peach lemon carrot pepper corn mushroom
rabbit mouse hamster fox wolf lion tiger horse unicorn zebra cow pig sheep goat camel elephant
panda monkey gorilla chicken penguin bird eagle duck owl bat shark whale dolphin fish octopus snail
butterfly bee ant spider turtle snake lizard dragon dinosaur robot alien ghost skull clown king
queen wizard fairy mermaid zombie red orange yellow green blue purple pink brown black white grey
gold silver grass snow beach night sunset water forest desert city street room table small big
huge tiny old new happy sad shiny riding sitting standing running jumping holding photo painting
watercolour sketch cartoon realistic beautiful category bearskin concatenate a an the
and on in 7 42 1984
""".split()
JOINED = """
t-shirt cat-like ice-cream black-and-white merry-go-round state-of-the-art x-ray e-mail
jack-o'-lantern cat's o'clock don't l'avion rock'n'roll d'Artagnan blue_eyes 3d-render
half‑timbered dog’s
""".split()
ACCENTED = """
café naïve crème brûlée Straße Ångström jalapeño smörgåsbord façade Łódź Ελλάδα москва кошка собака
שלום قطة बिल्ली Cafe\u0301 re\u0301sume\u0301 Zu\u0308rich İstanbul
""".split()
SIGNS = "😀 ❤️ 👩‍👩‍👧 🐈‍⬛ 👍🏽 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ☃ ★ 1️⃣ 🦊 🐱 ♥ ✨ 🧑🏿‍🚀".split()
UNSPACED = (
    "猫 黑猫 小狗 熊猫 月亮 一只猫 ねこ いぬ ネコ ロボット 고양이 강아지 แมว 花 红色的汽车".split()
)
WORDS = tuple(dict.fromkeys([*PLAIN, *JOINED, *ACCENTED, *SIGNS, *UNSPACED]))
FILLERS = ("qux", "zorp", "blim", "fnord", "wug", "snark")


def clip(merged: Iterable[str], length: int = 77) -> CLIPTokenizer:
    """CLIP's byte alphabet and the merges that make each given ASCII text one token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*letters, *(letter + "</w>" for letter in letters)]
    ranks: dict[tuple[str, str], int] = {}
    for text in merged:
        pieces = [*text[:-1], text[-1] + "</w>"]
        while len(pieces) > 1:
            pairs = list(pairwise(pieces))
            best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
            ranks.setdefault(best, len(ranks))
            i = pairs.index(best)
            pieces[i : i + 2] = ["".join(best)]
    entries += ["".join(pair) for pair in ranks]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    return CLIPTokenizer(vocab=vocab, merges=list(ranks), model_max_length=length)


def t5(whole: Iterable[str], syllables: Iterable[str], characters: Iterable[str]) -> T5Tokenizer:
    """A Unigram of whole words, syllables and single characters; all else is unknown."""
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -4.0}
    pieces |= dict.fromkeys(characters, -9.0)
    pieces |= dict.fromkeys(syllables, -6.0)
    pieces |= {"▁" + word: -5.0 for word in whole}
    return T5Tokenizer(vocab=list(pieces.items()), extra_ids=0, model_max_length=512)


def _ascii(words: Iterable[str]) -> list[str]:
    return [word.lower() for word in words if word.isascii() and word.isalpha()]


def _clip_bytes() -> CLIPTokenizer:
    return clip(())


def _clip_merged() -> CLIPTokenizer:
    """Half of the words are one token, of the others the first letters."""
    plain = _ascii([*WORDS, *FILLERS])
    return clip([word if i % 2 else word[:3] for i, word in enumerate(plain)])


def _t5_pieces() -> T5Tokenizer:
    plain = _ascii([*WORDS, *FILLERS])
    characters = sorted({c for word in [*WORDS, *FILLERS] for c in word if not c.isspace()} | {","})
    syllables = sorted({word[i : i + 2] for word in plain for i in range(1, len(word) - 1, 2)})
    emoji = set("".join(SIGNS))
    return t5(plain[::2], syllables, [c for c in characters if c not in emoji])


def _clip_world() -> CLIPTokenizer:
    """As in the embedded models: every known word is one token, 48 positions."""
    return clip(_ascii([*WORDS, *FILLERS]), length=48)


KINDS: dict[str, Callable[[], Callable[..., object]]] = {
    "clip-bytes": _clip_bytes,
    "clip-merged": _clip_merged,
    "t5-pieces": _t5_pieces,
    "clip-world": _clip_world,
}


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Each of the four kinds in turn."""
    return KINDS[request.param]()


@pytest.fixture(scope="session")
def block(tokenizer: Callable[..., object]) -> TextBlock:
    """That tokenizer alone, with room for the longest texts of the tests."""
    return TextBlock("text", (tokenizer,), 256)


@pytest.fixture(scope="session")
def letters() -> CLIPTokenizer:
    """Every byte is a token."""
    return clip(())


@pytest.fixture(scope="session")
def pieces() -> T5Tokenizer:
    """The T5 kind."""
    return _t5_pieces()


@pytest.fixture(scope="session")
def world() -> CLIPTokenizer:
    """Known words are one token."""
    return _clip_world()


@pytest.fixture(scope="session")
def of_world(world: CLIPTokenizer) -> Callable[[str, int], TokenizedText]:
    """Reads a text with known words as single tokens in a block of so many positions."""
    return lambda text, length: tokenize(text, (TextBlock("clip", (world,), length),))


@pytest.fixture(scope="session")
def of_bike() -> Callable[[str, int], TokenizedText]:
    """Likewise, with the words of a few examples as single tokens and "x-y" as three."""
    tokenizer = clip(["a", "cat", "dog", "red", "riding", "bike", "tiger"])
    return lambda text, length: tokenize(text, (TextBlock("clip", (tokenizer,), length),))


@pytest.fixture(scope="session")
def words() -> tuple[str, ...]:
    """More than 200, with hyphens, apostrophes, accents, emoji and scripts without blanks."""
    assert len(WORDS) >= 200
    return WORDS


@pytest.fixture(scope="session")
def plain_words() -> tuple[str, ...]:
    """Plain English ones: a blank before and after makes a word of each."""
    return tuple(_ascii(PLAIN))


@pytest.fixture(scope="session")
def fillers() -> tuple[str, ...]:
    """Words that none of the others contains or is contained in."""
    return FILLERS


@pytest.fixture
def dice() -> random.Random:
    """The same throws in every test."""
    return random.Random(20220801)


@pytest.fixture(scope="session")
def metaspace() -> PreTrainedTokenizerFast:
    """Blanks are part of the pieces, as in tokenizer files made from SentencePiece models."""
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0), ("▁dog", -5.0)]
    vocab += [(c, -9.0) for c in "abcdefghijklmnopqrstuvwxyz,"]
    backend = Tokenizer(models.Unigram(vocab, 2, False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="session")
def blank_led() -> PreTrainedTokenizerFast:
    """Byte-level pieces that begin with the blank and no start or end token, as in chat models."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "d"), ("Ġd", "o"), ("Ġdo", "g")]
    entries = [*letters, *("".join(pair) for pair in merges)]
    backend = Tokenizer(models.BPE({entry: i for i, entry in enumerate(entries)}, merges))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="!")
