"""Reads a picture from anywhere: its kind, its size and its texts, before a pixel is decoded.

What comes in may be hostile, so everything has a limit that is checked first: bytes, pixels, the
number of chunks, the length of a text before and after it is unpacked.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["MAX_BYTES", "MAX_PIXELS", "MAX_TEXT_BYTES", "PictureFile", "open_picture"]

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 64_000_000
MAX_TEXT_BYTES = 256 * 2**10
MAX_CHUNKS = 20_000
FORMATS = ("PNG", "JPEG", "WEBP")

_PNG = b"\x89PNG\r\n\x1a\n"
_KEYS = ("attention_studio", "attention_studio_story", "parameters")


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A picture that has passed the limits.

    size:  (height, width) as the file says.
    texts: those that are known here: "attention_studio" and "attention_studio_story", which are
           JSON, and "parameters".
    """

    data: bytes
    format: str
    size: tuple[int, int]
    texts: Mapping[str, str] = field(default_factory=dict)

    def image(self) -> Image.Image:
        """Decoded, turned as its camera says, in RGB; of an animation the first frame."""
        try:
            with Image.open(io.BytesIO(self.data), formats=FORMATS) as picture:
                picture.seek(0)
                return ImageOps.exif_transpose(picture).convert("RGB")
        except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
            raise ValueError(f"picture: it is damaged ({_said(error)})") from error


def open_picture(picture: Path | bytes) -> PictureFile:
    """Looks at a file without decoding it; ValueError, in one sentence, for what is refused."""
    data = picture if isinstance(picture, bytes) else _read(picture)
    if len(data) > MAX_BYTES:
        raise ValueError(f"picture: it has {len(data)} bytes; expected at most {MAX_BYTES}")
    if data.startswith(_PNG):
        return PictureFile(data, "PNG", *_png(data))
    if not (data.startswith(b"\xff\xd8\xff") or data[:4] + data[8:12] == b"RIFFWEBP"):
        raise ValueError("picture: it is no PNG, JPEG or WebP, whatever its name says")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.height, image.width)
            kind, size, text = image.format or "", (image.height, image.width), _comment(image)
    except UnidentifiedImageError:
        raise ValueError("picture: it is damaged from the start") from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"picture: {_said(error)}") from None
    except (OSError, SyntaxError, struct.error) as error:
        raise ValueError(f"picture: it is damaged ({_said(error)})") from error
    return PictureFile(data, kind, size, {"parameters": text} if text else {})


def _read(path: Path) -> bytes:
    with path.open("rb") as file:  # one byte more than allowed tells that there is more
        return file.read(MAX_BYTES + 1)


def _png(data: bytes) -> tuple[tuple[int, int], dict[str, str]]:
    size: tuple[int, int] | None = None
    texts: dict[str, str] = {}
    for kind, body in _chunks(data):
        if size is None:
            if kind != b"IHDR" or len(body) != 13:
                raise ValueError("picture: it does not begin as a PNG does")
            width, height = struct.unpack(">II", body[:8])
            _check_size(height, width)
            size = (height, width)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            key = bytes(body[:90]).partition(b"\0")[0]
            name = key.decode("latin-1")
            if name not in _KEYS:
                continue
            if name in texts:
                raise ValueError(f"picture: it has the text {name!r} twice")
            texts[name] = _text(kind, body[len(key) + 1 :])
    if size is None:
        raise ValueError("picture: it ends within its header")
    return size, texts


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), len(_PNG)
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            return
        yield kind, view[at + 8 : at + 8 + length]
        at += 12 + length
    raise ValueError(f"picture: it has more than {MAX_CHUNKS} parts")


def _text(kind: bytes, body: memoryview) -> str:
    """The text of a chunk, what follows its key."""
    if len(body) > MAX_TEXT_BYTES:
        raise _too_long(len(body))
    raw = bytes(body)
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        raw = raw[1:]
    elif kind == b"iTXt":
        packed = raw[:1] == b"\x01"
        raw = raw[2:].split(b"\0", 2)[-1]
    if packed:
        unpacker = zlib.decompressobj()
        try:
            raw = unpacker.decompress(raw, MAX_TEXT_BYTES + 1)
        except zlib.error:
            raise ValueError("picture: its text is damaged") from None
        if len(raw) > MAX_TEXT_BYTES:
            raise _too_long(len(raw))
    return raw.decode("utf-8" if kind == b"iTXt" else "latin-1", errors="replace")


def _comment(image: Image.Image) -> str:
    """The UserComment of JPEG and WebP pictures, where web UIs put their parameters."""
    found = image.getexif().get_ifd(0x8769).get(0x9286, b"")
    if not isinstance(found, bytes) or len(found) < 9:
        return ""
    if len(found) > 2 * MAX_TEXT_BYTES:
        raise _too_long(len(found))
    head, body = found[:8], found[8:]
    return body.decode("utf-16-be" if head == b"UNICODE\0" else "utf-8", errors="replace")


def _check_size(height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(
            f"picture: it is {width} x {height} pixels; expected at most {MAX_PIXELS} in all"
        )


def _too_long(length: int) -> ValueError:
    return ValueError(
        f"picture: a text in it has {length} bytes or more; expected at most {MAX_TEXT_BYTES}"
    )


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
