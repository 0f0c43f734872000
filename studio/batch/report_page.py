"""report.html: what came of a batch, its first rows as a contact sheet with their receipts.

One file without scripts, its pictures inside; texts are shown as they are, whatever they hold.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from ..receipt_text import receipt_text
from ..whole_files import write_whole
from .figures import value_of
from .journal import BatchJournal, Item
from .places import RECEIPT, picture_names, place_of

__all__ = ["write_report"]

_ROWS, _LISTED, _SIDE_PX, _SAMPLE = 60, 100, 160, 10_000
_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>Batch</title><style>
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#202124;background:#fcfbf8}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left}
.row{display:inline-block;vertical-align:top;margin:0 1.4rem 1.4rem 0;max-width:25rem}
.row img{height:160px;margin-right:4px;image-rendering:pixelated}
.quiet{color:#6e7076;overflow-wrap:anywhere}.dropped{opacity:.45}
@media (prefers-color-scheme:dark){body{color:#e8e6e1;background:#1b1c1e}.quiet{color:#a0a2a8}}
</style>
"""


def write_report(journal: BatchJournal, root: Path, path: Path, *, kept: int) -> None:
    """Counts, figures, the first rows, rows that failed and lines that were refused."""
    write_whole(path, "".join(_parts(journal, root, kept)))


def _parts(journal: BatchJournal, root: Path, kept: int) -> Iterator[str]:
    counts = journal.counts()
    yield _HEAD + "<h1>Batch</h1>"
    pairs = {
        "Rows": counts.rows,
        "Done": counts.done,
        "Kept": kept,
        "Failed": counts.failed,
        "Lines refused": counts.refused,
        "Pictures": journal.pictures(),
    }
    yield _table(pairs)
    figures = [dict(f) for item in journal.items(state="done", limit=_SAMPLE) for f in item.figures]
    medians = dict(_medians(figures))
    if medians:
        note = f", of the first {_SAMPLE}" if counts.done > _SAMPLE else ""
        yield f"<h2>Medians{note}</h2>" + _table(medians)
    yield f"<h2>The first {min(_ROWS, counts.done)} rows</h2>"
    for item in islice(journal.items(state="done"), _ROWS):
        yield _row(item, root)
    failed = list(journal.items(state="failed", limit=_LISTED))
    if failed:
        yield "<h2>Failed</h2>" + _table({item.row.id: item.error or "" for item in failed})
    refused = journal.refused(_LISTED)
    if refused:
        yield "<h2>Lines that make no row</h2>" + _table({f"line {n}": e for n, e in refused})
    yield "</html>\n"


def _medians(figures: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for name in ("changed_inside", "changed_outside", "psnr_outside"):
        values = [v for f in figures if isinstance(v := value_of(f, name), float | int)]
        if values:
            yield name, f"{median(values):.2f}"
    for name in ("nouns_ok", "colours_ok", "relation_ok", "background_ok"):
        said = [bool(f[name]) for f in figures if name in f]
        if said:
            yield f"{name}, share", f"{sum(said) / len(said):.1%}"


def _row(item: Item, root: Path) -> str:
    home = root / place_of(item.number, item.row.folder)
    try:
        record = json.loads((home / RECEIPT).read_text(encoding="utf-8"))
        images = "".join(_thumbnail(home / name) for name in picture_names(item.files)[:4])
    except (OSError, ValueError) as error:
        return f"<p class=quiet>{escape(item.row.id)}: {escape(type(error).__name__)}</p>"
    said = [*map(_sentence, record["receipts"]), *record["warnings"]]
    texts = " → ".join(item.row.prompts)
    return (
        f'<div class="row{"" if item.kept else " dropped"}">{images}<br>{escape(texts)}'
        f"<br><span class=quiet>{escape(item.row.id)} · seed {item.row.seed}"
        f"{''.join('<br>' + escape(sentence) for sentence in said)}</span></div>\n"
    )


def _sentence(found: Mapping[str, Any]) -> str:
    from ..processors.receipt import Receipt

    names = ("changed_inside", "changed_outside", "psnr_outside", "effect", "map_shift")
    return receipt_text(Receipt(**{name: found[name] for name in names}))


def _thumbnail(path: Path) -> str:
    with Image.open(path, formats=("PNG",)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((2 * _SIDE_PX, _SIDE_PX))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escape(path.stem)}" src="data:image/jpeg;base64,{data}">'


def _table(pairs: Mapping[str, Any]) -> str:
    cells = (f"<tr><th>{escape(str(k))}<td>{escape(str(v))}" for k, v in pairs.items())
    return f"<table>{''.join(cells)}</table>\n"
