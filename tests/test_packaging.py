"""What is installed is what is in the checkout, and nobody else's `kernels` is in its way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from attention_studio.pipelines.load import EMBEDDED

FOLDERS = {
    "studio": "attention_studio",
    "kernels": "attention_studio.kernels",
    "pipelines": "attention_studio.pipelines",
    "processors": "attention_studio.processors",
}


def _source_files(root: Path) -> set[str]:
    """Every file that must be installed, as its path in the wheel."""
    return {
        f"{package.replace('.', '/')}/{path.relative_to(root / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (root / folder).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path != root / "kernels" / "README.md"
    }


def test_kernels_is_no_regular_package(root: Path) -> None:
    assert not (root / "kernels" / "__init__.py").exists()


def test_packages_are_the_folders_on_disk(root: Path) -> None:
    declared = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = set(FOLDERS.values())
    for file in _source_files(root):
        if file.endswith(".py"):
            on_disk.add(file.rsplit("/", 1)[0].replace("/", "."))
    assert sorted(declared["packages"]) == sorted(on_disk)
    assert declared["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


def test_imports_from_the_root_shadow_nothing(root: Path) -> None:
    """From the root, as `python -m pytest` and `streamlit run` start: the everyday case."""
    code = """
import sys, importlib.util
import attention_studio.cli, attention_studio.pipelines, attention_studio.processors
spec = importlib.util.find_spec("kernels")
assert spec is None or spec.origin is None or not spec.origin.startswith(sys.argv[1]), spec
assert not {"kernels", "processors", "pipelines", "studio"} & set(sys.modules)
assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a clean copy, so that no stale build folder takes part."""
    work = tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(root / folder, work / folder, ignore=leave)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, work / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(work / "dist"), str(work)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = (work / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_checkout(root: Path, wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert sorted(inside) == sorted(_source_files(root))


def test_the_wheel_holds_the_embedded_models(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for model in EMBEDDED:
        folder = f"attention_studio/emoji/weights/{model}"
        assert {f"{folder}/{file}" for file in ("model_index.json", "card.json")} <= names
        assert (
            sum(i.file_size for i in wheel.infolist() if i.filename.startswith(f"{folder}/"))
            <= 18e6
        )


def test_the_wheel_works_away_from_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})
import attention_studio, attention_studio.cli, attention_studio.processors
from attention_studio import Recipe, load
assert attention_studio.__file__.startswith(sys.path[0])
assert attention_studio.__version__ == "{_version(wheel)}"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _version(wheel: zipfile.ZipFile) -> str:
    return Path(str(wheel.filename)).name.split("-")[1]
