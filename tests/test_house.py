"""The rules of the house, read from the sources: arrows, names, lengths, what is never done."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("kernels", "processors", "pipelines", "studio")  # each may import itself and those before
SOURCES = sorted(
    path
    for layer in LAYERS
    for path in (ROOT / layer).rglob("*.py")
    if "__pycache__" not in path.parts
)
EVERYTHING = [
    *SOURCES,
    *(path for folder in ("tests", "docs", "examples") for path in (ROOT / folder).rglob("*.py")),
]
DIFFUSERS_HOMES = ("processors/families/", "pipelines/", "studio/emoji/train/")
STREAMLIT_HOMES = ("app.py", "studio/app/")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _module(path: Path) -> str:
    """The dotted name under which a source file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "studio" else parts
    return ".".join(("attention_studio", *parts)).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[str]:
    """Absolute names of what a file imports, also inside functions; types-only imports are free."""
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def _layer(module: str) -> str:
    part = module.split(".")[1]
    return part if part in LAYERS else "studio"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_arrows_never_turn_back(path: Path) -> None:
    mine = LAYERS.index(path.relative_to(ROOT).parts[0])
    for name in _imports(path):
        top = name.split(".")[0]
        assert top not in LAYERS, f"{name}: import by attention_studio.… or relatively"
        if top == "attention_studio":
            assert not name.startswith("attention_studio.studio"), f"{name}: a second copy"
            assert LAYERS.index(_layer(name)) <= mine, f"{_name(path)} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    tops = {name.split(".")[0] for name in _imports(path)}
    if not _name(path).startswith(DIFFUSERS_HOMES):
        assert "diffusers" not in tops
    if not _name(path).startswith(STREAMLIT_HOMES):
        assert "streamlit" not in tops
    if path.name != "triton.py":
        assert "triton" not in tops


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_files_are_short_and_well_named(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (400 if _name(path).startswith("kernels/") else 300)
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_modules_open_with_a_sentence_and_list_their_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert (ast.get_docstring(tree) or "").partition("\n\n")[0].rstrip().endswith((".", ":"))
    if path.name == "__main__.py":
        return
    listed = _all(tree)
    assert listed is not None, "a module says what is public in __all__"
    assert len(set(listed)) == len(listed)
    public = _public(tree, with_imports=path.name == "__init__.py")
    constants = {name for name in listed if name not in public}
    assert public <= set(listed), "public names missing from __all__"
    assert constants <= _assigned(tree) | public, "names in __all__ that do not exist"


def _all(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def _public(tree: ast.Module, *, with_imports: bool) -> set[str]:
    """Functions and classes without underscore; in a package also what it imports from itself."""
    names = set()
    for node in [*tree.body, *(n for i in tree.body if isinstance(i, ast.If) for n in i.body)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif with_imports and isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


def _assigned(tree: ast.Module) -> set[str]:
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    return {t.id for target in targets for t in ast.walk(target) if isinstance(t, ast.Name)}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_module_keeps_state(path: Path) -> None:
    """Constants are in capitals; a small-letter list, dict or set at the top is state."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    containers = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, containers):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = ast.unparse(target)
            assert name == "__all__" or name == name.upper(), f"{name} is mutable module state"


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_nothing_from_outside_is_executed(path: Path) -> None:
    for name in _imports(path):
        assert name.split(".")[0] not in {"pickle", "cloudpickle", "dill", "joblib"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"torch.load", "eval", "exec", "os.system"}
            for keyword in node.keywords:
                assert keyword.arg != "custom_pipeline"
                assert keyword.arg != "trust_remote_code" or ast.unparse(keyword.value) == "False"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_the_environment_is_read_in_studio_only(path: Path) -> None:
    if not _name(path).startswith("studio/"):
        assert not {"os.environ", "os.getenv"} & {
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """Neither the checkout's own place nor the user's home may stand in a file."""
    places = (f"{ROOT}/", f"{Path.home()}/", f"{ROOT.parent}/")
    texts = [*EVERYTHING, ROOT / "Makefile", ROOT / ".ci" / "run"]
    for pattern in ("*.md", "*.toml", "*.txt", "*.json"):
        texts += [*ROOT.glob(pattern), *(ROOT / "docs").rglob(pattern)]
        texts += [path for layer in LAYERS for path in (ROOT / layer).rglob(pattern)]
    for path in texts:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [place for place in places if place in text], _name(path)


def test_importing_everything_leaves_pillow_s_guard() -> None:
    for path in SOURCES:
        if path.name not in {"__main__.py", "triton.py"}:
            importlib.import_module(_module(path))
    assert Image.MAX_IMAGE_PIXELS == 1024**3 // 4 // 3


def test_the_help_page_is_up_to_date() -> None:
    import runpy

    page = runpy.run_path(str(ROOT / "docs" / "make_help.py"))["page"]()
    assert (ROOT / "docs" / "help.md").read_text(encoding="utf-8") == page, "run `make docs`"
