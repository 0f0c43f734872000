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


def _imports(path: Path, tree: ast.Module) -> Iterator[str]:
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

    yield from walk(tree)


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of such an expression, as `ast.unparse` would write it; nothing of another."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *parts[::-1]]) if isinstance(node, ast.Name) else ""


def _layer(module: str) -> str:
    part = module.split(".")[1]
    return part if part in LAYERS else "studio"


@pytest.mark.parametrize("path", EVERYTHING, ids=_name)
def test_a_file_keeps_the_rules(path: Path) -> None:
    """All of them at once, because reading a file takes longer than any."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports, nodes = list(_imports(path, tree)), list(ast.walk(tree))
    files_are_short_and_well_named(path, text)
    nothing_from_outside_is_executed(imports, nodes)
    if path.relative_to(ROOT).parts[0] in LAYERS:
        arrows_never_turn_back(path, imports)
        heavy_libraries_stay_at_home(path, imports)
        modules_open_with_a_sentence_and_list_their_names(path, tree)
        no_module_keeps_state(tree, nodes)
        the_environment_is_read_in_studio_only(path, nodes)


def arrows_never_turn_back(path: Path, imports: list[str]) -> None:
    mine = LAYERS.index(path.relative_to(ROOT).parts[0])
    for name in imports:
        top = name.split(".")[0]
        assert top not in LAYERS, f"{name}: import by attention_studio.… or relatively"
        if top == "attention_studio":
            assert not name.startswith("attention_studio.studio"), f"{name}: a second copy"
            assert LAYERS.index(_layer(name)) <= mine, f"{_name(path)} imports {name}"


def heavy_libraries_stay_at_home(path: Path, imports: list[str]) -> None:
    tops = {name.split(".")[0] for name in imports}
    if not _name(path).startswith(DIFFUSERS_HOMES):
        assert "diffusers" not in tops
    if not _name(path).startswith(STREAMLIT_HOMES):
        assert "streamlit" not in tops
    if path.name != "triton.py":
        assert "triton" not in tops


def files_are_short_and_well_named(path: Path, text: str) -> None:
    assert text.count("\n") <= (400 if _name(path).startswith("kernels/") else 300)
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


def modules_open_with_a_sentence_and_list_their_names(path: Path, tree: ast.Module) -> None:
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


def no_module_keeps_state(tree: ast.Module, nodes: list[ast.AST]) -> None:
    """Constants are in capitals; a small-letter list, dict or set at the top is state."""
    assert not [node for node in nodes if isinstance(node, ast.Global)]
    containers = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, containers):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = ast.unparse(target)
            assert name == "__all__" or name == name.upper(), f"{name} is mutable module state"


def nothing_from_outside_is_executed(imports: list[str], nodes: list[ast.AST]) -> None:
    for name in imports:
        assert name.split(".")[0] not in {"pickle", "cloudpickle", "dill", "joblib"}
    for node in nodes:
        if isinstance(node, ast.Call):
            assert _dotted(node.func) not in {"torch.load", "eval", "exec", "os.system"}
            for keyword in node.keywords:
                assert keyword.arg != "custom_pipeline"
                assert keyword.arg != "trust_remote_code" or ast.unparse(keyword.value) == "False"


def the_environment_is_read_in_studio_only(path: Path, nodes: list[ast.AST]) -> None:
    if not _name(path).startswith("studio/"):
        read = {_dotted(node) for node in nodes if isinstance(node, ast.Attribute)}
        assert not {"os.environ", "os.getenv"} & read


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
