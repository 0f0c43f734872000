"""What a picture carries: a round trip, other programs' text, and hostile files refused at once."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attention_studio import Recipe
from attention_studio.parameters_text import parse_parameters, write_parameters
from attention_studio.picture_file import MAX_BYTES, open_picture
from attention_studio.stored import KEY, read_json, read_stored

A1111 = """a (red:1.3) car, "quoted",
two lines
Negative prompt: blurry, low quality
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 3012, Size: 512x768, Model hash: abc123, \
Model: v1-5-pruned, Lora hashes: "a: 1, b: 2", Version: v1.10.1"""


def png(texts: dict[str, str] | None = None, size: tuple[int, int] = (8, 8)) -> bytes:
    info, out = PngInfo(), io.BytesIO()
    for key, text in (texts or {}).items():
        info.add_itxt(key, text)
    Image.new("RGB", size, (9, 90, 200)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def ours(record: str) -> bytes:
    return png({KEY: record})


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(*chunks: bytes) -> bytes:
    plain = png()
    return plain[:33] + b"".join(chunks) + plain[33:]


def huge_png(width: int, height: int) -> bytes:
    """A few kilobytes that claim, and would unpack to, many megapixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    body = zlib.compress(b"\0" * min((width // 8 + 2) * height, 10**7), 9)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def record(**change: object) -> str:
    whole = {"recipe": {"prompts": ["a cat"]}, "index": 0, "versions": {"torch": "2"}}
    return json.dumps(whole | change)


def test_our_recipe_is_read() -> None:
    stored = read_stored(ours(record(role="edit", made={"scheduler": "DDIMScheduler"})))
    assert stored.recipe == Recipe(prompts=("a cat",))
    assert (stored.origin, stored.index, stored.role) == ("attention-studio", 0, "edit")
    assert (stored.versions, stored.made["scheduler"]) == ({"torch": "2"}, "DDIMScheduler")
    assert stored.picture.image().size == (8, 8)


def test_a_web_ui_s_text_is_read_as_far_as_it_goes() -> None:
    stored = read_stored(png({"parameters": A1111}))
    recipe = stored.recipe
    assert recipe is not None and stored.origin == "web-ui"
    assert recipe.prompts == ('a (red:1.3) car, "quoted",\ntwo lines',)
    assert recipe.negative == "blurry, low quality"
    assert (recipe.steps, recipe.guidance, recipe.seed) == (20, 7.0, 3012)
    assert (recipe.size, recipe.model) == ((768, 512), "v1-5-pruned")
    assert any("Euler a" in note for note in stored.notes)


def test_settings_that_are_not_ours_to_make_are_named() -> None:
    text = "a cat\nSteps: 99999, Sampler: X, CFG scale: 7, Seed: -1, Size: 8192x8192"
    stored = read_stored(png({"parameters": text}))
    assert stored.recipe is not None and stored.recipe.steps == 30 and stored.recipe.size is None
    assert {note.split(" ", 1)[0] for note in stored.notes} == {"Sampler", "steps", "seed", "size"}


@pytest.mark.parametrize("text", ["", "only a prompt", "a\nb: c", "x\nSteps: 1", "\n\n", ":::,,,"])
def test_any_text_is_a_prompt_at_least(text: str) -> None:
    assert parse_parameters(text).settings in ({}, {"Steps": "1"})
    assert read_stored(png({"parameters": text})).origin == "web-ui" or not text


def test_what_we_write_web_uis_read() -> None:
    settings = {"Steps": 3, "Sampler": "DDIM", "Size": "8x8", "Model": 'odd: name, "quoted"'}
    found = parse_parameters(write_parameters("a cat,\non grass", "no\ndog", settings))
    assert (found.prompt, found.negative) == ("a cat,\non grass", "no\ndog")
    assert found.settings == {name: str(value) for name, value in settings.items()}


def test_jpeg_and_webp_carry_it_in_their_exif(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.webp"):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + A1111.encode("utf-16-be")
        Image.new("RGB", (8, 8)).save(tmp_path / name, exif=exif)
        stored = read_stored(tmp_path / name)
        assert stored.recipe is not None and stored.recipe.seed == 3012


def test_a_picture_without_a_recipe_says_so() -> None:
    assert read_stored(png()).notes == ("the picture carries no recipe",)


def test_the_camera_s_turn_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert open_picture(tmp_path / "a.jpg").image().size == (4, 8)


def gif() -> bytes:
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    return out.getvalue()


def huge_jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "JPEG")
    data = bytearray(out.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


def bomb_text(kind: bytes) -> bytes:
    packed = zlib.compress(b"a" * 10**7, 1)
    key = KEY.encode() + b"\0"
    body = key + (b"\0" if kind == b"zTXt" else b"\1\0\0\0") + packed
    return with_chunk(chunk(kind, body))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no PNG, JPEG or WebP"),
    "a web page": (lambda: b"<html></html>", "no PNG, JPEG or WebP"),
    "a gif": (gif, "no PNG, JPEG or WebP"),
    "too many bytes": (lambda: png() + b"\0" * MAX_BYTES, "bytes; expected at most"),
    "too many pixels": (lambda: huge_png(60_000, 60_000), "60000 x 60000 pixels"),
    "just too many pixels": (lambda: huge_png(8001, 8001), "8001 x 8001 pixels"),
    "a large jpeg": (huge_jpeg, "pixels"),
    "no header": (lambda: png()[:20], "does not begin as a PNG"),
    "only a signature": (lambda: png()[:8], "ends within its header"),
    "a text first": (lambda: png()[:8] + chunk(b"tEXt", b"a\0b"), "does not begin as a PNG"),
    "no width": (lambda: huge_png(0, 5), "0 x 5 pixels"),
    "a text of 10 MB": (lambda: ours("x" * 10**7), "expected at most"),
    "a text that unpacks to 10 MB": (lambda: bomb_text(b"zTXt"), "expected at most"),
    "the same as iTXt": (lambda: bomb_text(b"iTXt"), "expected at most"),
    "a damaged packed text": (
        lambda: with_chunk(chunk(b"zTXt", KEY.encode() + b"\0\0garbage")),
        "damaged",
    ),
    "two recipes": (
        lambda: with_chunk(*[chunk(b"tEXt", KEY.encode() + b"\0" + record().encode())] * 2),
        "twice",
    ),
    "a million parts": (lambda: with_chunk(chunk(b"aaAa", b"") * 10**6), "more than 20000 parts"),
    "no JSON": (lambda: ours("{"), "not valid JSON"),
    "deep JSON": (lambda: ours('{"recipe":' + "[" * 100_000), "nested 100001 deep"),
    "deep objects": (lambda: ours('{"a":' * 50 + "1" + "}" * 50), "nested 50 deep"),
    "double keys": (lambda: ours('{"recipe": {}, "recipe": {}}'), "key twice"),
    "NaN": (lambda: ours('{"recipe": {"prompts": ["a"], "guidance": NaN}}'), "NaN for a number"),
    "infinity": (lambda: ours('{"recipe": {"guidance": -Infinity}}'), "-Infinity for a number"),
    "a number of a mile": (lambda: ours('{"recipe": ' + "9" * 9000 + "}"), "its recipe"),
    "many keys": (lambda: ours(json.dumps({str(i): 1 for i in range(65)})), "65 keys"),
    "a list": (lambda: ours("[1]"), "no JSON object"),
    "no recipe": (lambda: ours("{}"), "no JSON object"),
    "a field of tomorrow": (lambda: ours(record(recipe={"warp": 1})), "no field 'warp'"),
    "another algorithm": (
        lambda: ours(record(recipe={"prompts": ["a"], "algorithm_version": 2})),
        "made by algorithm 2",
    ),
    "a picture of none": (lambda: ours(record(index=7)), "picture 7 of its recipe"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(name: str) -> None:
    data, says = HOSTILE[name][0](), HOSTILE[name][1]
    start = time.process_time()
    with pytest.raises(ValueError) as error:
        read_stored(data)
    assert time.process_time() - start < 0.2
    assert says in str(error.value)


PEAK = """
import resource, sys
from pathlib import Path
from attention_studio.stored import read_stored
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_stored(path)
    except ValueError:
        continue
    sys.exit(f"{path.name} was read")
print(peak() - before)
"""


def test_hostile_files_take_no_memory(tmp_path: Path, root: Path) -> None:
    for number, (make, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number:02}.png").write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50 * 1024  # KiB; reading the largest file allowed takes 32 MiB


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame_counts(kind: str) -> None:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 0, 200))]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], lossless=True)
    red, green, blue = open_picture(out.getvalue()).image().getpixel((4, 4))  # type: ignore[misc]
    assert red > 180 and green < 20 and blue < 20


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_short_is_refused_when_it_is_decoded(kind: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(out, kind)
    whole = out.getvalue()
    assert open_picture(whole).image().size == (64, 64)
    with pytest.raises(ValueError, match="damaged"):
        open_picture(whole[: len(whole) // 2]).image()


def test_strings_hide_no_brackets() -> None:
    text = json.dumps({"a": '[[[["\\' * 50})
    assert read_json(text, "it") == json.loads(text)
