"""Manifests of each format, whole and hostile: S7."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from attention_studio.batch.formats import Entry, format_of, read_entries

ROWS = [
    {"id": "a", "prompt": 'a cat, "big"', "seed": 3, "to": "a dog"},
    {"id": "b", "prompt": "雪 🐱", "guidance": 2.5, "words": ["cat", "dog"]},
]


def _read(path: Path, kind: str | None = None) -> list[Entry]:
    return list(read_entries(path, kind or format_of(path)))


def _write(tmp_path: Path, name: str, data: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_jsonl(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(ROWS[0]) + "\n\n" + json.dumps(ROWS[1]) + '\n"a frog"'
    found = _read(_write(tmp_path, "m.jsonl", text))
    assert [(entry.line, dict(entry.fields)) for entry in found] == [
        (1, ROWS[0]),
        (3, ROWS[1]),
        (4, {"prompt": "a frog"}),
    ]


def test_csv(tmp_path: Path) -> None:
    text = (
        "id,prompt,seed,to,guidance,words\r\n"
        'a,"a cat, ""big""",3,a dog,,\r\n'
        '\r\nb,雪 🐱,,,2.5,"[""cat"", ""dog""]"\r\n'
    )
    assert [entry.fields for entry in _read(_write(tmp_path, "m.csv", text))] == ROWS
    tabs = _read(_write(tmp_path, "m.tsv", "prompt\tseed\na, cat\t4\n"))
    assert [entry.fields for entry in tabs] == [{"prompt": "a, cat", "seed": 4}]


def test_yaml(tmp_path: Path) -> None:
    text = "- id: a\n  prompt: 'a cat, \"big\"'\n  seed: 3\n  to: a dog\n" + (
        "- {id: b, prompt: 雪 🐱, guidance: 2.5, words: [cat, dog]}\n"
    )
    found = _read(_write(tmp_path, "m.yaml", text))
    assert [(entry.line, entry.fields) for entry in found] == [(1, ROWS[0]), (5, ROWS[1])]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    columns = {name: [row.get(name) for row in ROWS] for row in ROWS for name in row}
    pq.write_table(pa.table(columns), path)
    found = _read(path)
    assert [entry.fields for entry in found] == ROWS
    with pytest.raises(ValueError, match="row 1 of the Parquet file"):
        _read(_write(tmp_path, "n.parquet", b"PAR1 not really"))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'attention-studio\[parquet\]'"):
        _read(tmp_path / "m.parquet")


def test_pie_bench_mapping(tmp_path: Path) -> None:
    found = _read(_write(tmp_path, "mapping_file.json", json.dumps({"0001": {"prompt": "a cat"}})))
    assert [entry.fields for entry in found] == [{"id": "0001", "prompt": "a cat"}]
    found = _read(_write(tmp_path, "list.json", json.dumps(["a cat", {"prompt": "a dog"}])))
    assert [entry.fields for entry in found] == [{"prompt": "a cat"}, {"prompt": "a dog"}]


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'m\.txt' ends in none of"):
        format_of(Path("m.txt"))


BAD_LINES: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{", "it is not valid JSON"),
    "deep": ('{"prompt":' + "[" * 5000 + "]" * 5000 + "}", "nested 5001 deep"),
    "twice": ('{"prompt": "a", "prompt": "b"}', "has a key twice"),
    "nan": ('{"prompt": "a", "guidance": NaN}', "has NaN for a number"),
    "infinity": ('{"prompt": "a", "guidance": -Infinity}', "has -Infinity for a number"),
    "wide": (json.dumps({f"k{i}": i for i in range(65)}), "has 65 keys in one place"),
    "number": ("17", "it is int; expected an object or a text"),
    "list": ("[]", "it is list; expected an object or a text"),
    "null": ("null", "it is NoneType"),
    "latin": (b'{"prompt": "caf\xe9"}', "it is not UTF-8"),
    "long": ('{"prompt": "' + "x" * 10_000_000 + '"}', "it has more than 1048576 bytes"),
    "big number": ('{"seed": ' + "9" * 5000 + "}", "it"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_told_and_the_others_are_read(tmp_path: Path, name: str) -> None:
    line, said = BAD_LINES[name]
    data = line.encode() if isinstance(line, str) else line
    path = _write(tmp_path, "m.jsonl", b'"first"\n' + data + b'\n"last"\n')
    start = monotonic()
    first, bad, last = _read(path)
    assert monotonic() - start < 1
    assert (first.fields, last.fields) == ({"prompt": "first"}, {"prompt": "last"})
    assert (bad.line, last.line) == (2, 3)
    assert bad.error is not None and said in bad.error


def _bomb() -> str:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.yaml", _bomb(), "has an anchor in line 1"),
        ("m.yaml", "- &x {prompt: a}\n- *x\n", "has an anchor in line 1"),
        ("m.yaml", "prompt: a", "it is no list"),
        ("m.yaml", "- [", "is not valid YAML"),
        ("m.yaml", "- !!python/object/apply:os.system ['touch hacked']", "is not valid YAML"),
        ("m.yaml", "- " + "[" * 900, "nested more than 16 deep"),
        ("m.yaml", "- " * 300_000, "nested more than 16 deep"),
        ("m.yaml", "x" * (4 * 2**20 + 1), "more than 4194304 bytes"),
        ("m.json", "[" * 3000 + "]" * 3000, "nested 3000 deep"),
        ("m.json", '{"a": 3}', "maps ids to what are no objects"),
        ("m.json", "3", "is no list and no object"),
        ("m.json", "{", "is not valid JSON"),
        ("m.csv", "", "no names of columns"),
        ("m.csv", "prompt,prompt\na,b\n", "or one twice"),
    ],
)
def test_a_hostile_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    start = monotonic()
    with pytest.raises(ValueError, match=said):
        _read(_write(tmp_path, name, text))
    assert monotonic() - start < 1
    assert not (tmp_path / "hacked").exists()


def test_yaml_that_is_not_json(tmp_path: Path) -> None:
    text = "- {prompt: a, guidance: .nan}\n- {prompt: a, seed: 2026-01-02}\n- {1: 2}\n- a cat\n"
    found = _read(_write(tmp_path, "m.yaml", text))
    assert [entry.error is not None for entry in found] == [True, True, False, False]
    assert found[3].fields == {"prompt": "a cat"}


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+1", "-1", '=HYPERLINK("x")', "=cmd|' /C'!A0"]
)
def test_formulas_are_text(tmp_path: Path, cell: str) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    (entry,) = _read(_write(tmp_path, "m.csv", f"prompt,seed\n{quoted},1\n"))
    assert entry.fields == {"prompt": cell, "seed": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt,seed\na,x\nb,2\n", "seed: came 'x'; expected a number"),
        ("prompt,seed\na\nb,2\n", "it has 1 cells; expected 2"),
        ('prompt,words\na,"[1"\nb,\n', "words is not valid JSON"),
    ],
)
def test_a_bad_cell(tmp_path: Path, text: str, said: str) -> None:
    bad, good = _read(_write(tmp_path, "m.csv", text))
    assert bad.line == 2 and bad.error is not None and said in bad.error
    assert good.error is None


def test_csv_that_cannot_be_read_on(tmp_path: Path) -> None:
    found = _read(_write(tmp_path, "m.csv", b'prompt\na\n"open\n' + b"x" * 200_000 + b"\n"))
    assert found[0].fields == {"prompt": "a"}
    assert found[-1].error is not None and "what follows is not read" in found[-1].error
    found = _read(_write(tmp_path, "n.csv", b"prompt\n" + b"\xff\xfe\n"))
    assert found[-1].error is not None and "not UTF-8" in found[-1].error
