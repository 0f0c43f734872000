"""The checker of compiled kernels: what it reads, what it refuses, and real compilations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from attention_studio.kernels.ahead import Specialization
from attention_studio.kernels.ahead.figures import Figures, read
from attention_studio.kernels.ahead.record import read_record, write_record
from attention_studio.kernels.ahead.rules import growth, violations

PTX = """
  @%p1 ld.global.v4.b32 { %r45, %r46, %r47, %r48 }, [ %rd24 + 0 ];
  ld.global.b32 { %r2 }, [ %rd3 + 0 ];
  @%p2 ld.global.L1::evict_last.b16 { %rs1 }, [ %rd9 + 0 ];
  ld.global.v2.b64 { %rd5, %rd6 }, [ %rd7 + 0 ];
  cp.async.cg.shared.global [ %r97 + 0 ], [ %rd31 + 0 ], 0x10, %r98;
  cp.async.ca.shared.global [ %r99 + 0 ], [ %rd32 + 0 ], 0x4, %r98;
  cp.async.commit_group;
  cp.async.wait_group 0x2;
  cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1];
  cp.async.bulk.commit_group;
  wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%r1}, %rd1, %rd2, p, 1, 1, 0, 1;
"""
LOG = """
ptxas info    : Function properties for flash
    232 bytes stack frame, 268 bytes spill stores, 248 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 232 bytes cumulative stack size
"""
SLOW = (
    "ptxas info : (C7511) Potential Performance Loss: wgmma.mma_async instructions are serialized "
    "due to insufficient register resources for the wgmma pipeline in the function 'f' in line 1"
)
SPEC = Specialization("k", None, {"q": "*bf16", "D": "constexpr"}, {"D": 64}, ("q",))
FINE = Figures("k", 90, "wgmma", 168, 0, 0, 96 * 1024, 64, 80, 8, 0)


def test_figures_are_read_from_ptx_and_log() -> None:
    found = read("k", 90, ptx=PTX, log=LOG + SLOW, shared_bytes=7)
    assert (found.tensor_core, found.async_copies) == ("wgmma", 3)
    assert (found.wide_loads, found.narrow_bytes, found.tiny_loads) == (4, 10, 1)
    assert (found.registers, found.stack_bytes, found.spill_bytes) == (255, 232, 516)
    assert found.serialized == "insufficient register resources for the wgmma pipeline"
    assert read("k", 80, ptx="mma.sync.aligned", log=LOG, shared_bytes=0).tensor_core == "mma"
    both = read("k", 90, ptx=PTX + "mma.sync.aligned", log=LOG, shared_bytes=0)
    assert both.tensor_core == "wgmma and mma"
    with pytest.raises(ValueError, match="no registers"):
        read("k", 90, ptx=PTX, log="", shared_bytes=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"spill_bytes": 8}, "8 bytes spilled"),
        ({"stack_bytes": 8}, "8 bytes of stack"),
        ({"registers": 256}, "256 registers"),
        ({"shared_bytes": 227 * 1024 + 1}, "232449 bytes of shared memory"),
        ({"tensor_core": "mma"}, "tensor cores by mma, expected wgmma"),
        ({"tensor_core": "wgmma and mma"}, "by wgmma and mma, expected wgmma"),
        ({"serialized": "reasons"}, "expected a pipeline: reasons"),
        ({"async_copies": 0}, "no asynchronous copy"),
        ({"tiny_loads": 1}, "1 loads of 1 or 2 bytes"),
        ({"narrow_bytes": 1281}, "1281 bytes in narrow loads and 80 loads of 16"),
    ],
)
def test_each_rule_has_its_line(changed: dict[str, object], said: str) -> None:
    assert violations(SPEC, FINE) == []
    (line,) = violations(SPEC, replace(FINE, **changed))  # type: ignore[arg-type]
    assert line.startswith("k, sm_90: ") and said in line


def test_settings_of_8_0_fit_devices_with_less_shared_memory() -> None:
    older = replace(FINE, arch=80, tensor_core="mma", shared_bytes=99 * 1024)
    assert violations(SPEC, older) == []
    (line,) = violations(SPEC, replace(older, shared_bytes=99 * 1024 + 16))
    assert "101392 bytes of shared memory, expected at most 101376" in line


def test_a_kernel_without_matrices_needs_no_tensor_cores() -> None:
    plain = replace(FINE, tensor_core="none", async_copies=0, tiny_loads=9)
    assert violations(replace(SPEC, attention=False), plain) == []
    assert violations(replace(SPEC, attention=False), replace(plain, stack_bytes=16))


def test_growth_by_more_than_a_tenth_is_refused() -> None:
    assert growth(replace(FINE, registers=184), FINE) == []
    (line,) = growth(replace(FINE, registers=185), FINE)
    assert "168 registers became 185" in line
    assert len(growth(replace(FINE, registers=250, shared_bytes=200 * 1024), FINE)) == 2
    assert "no committed figures" in growth(FINE, None)[0]


def test_the_record_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "results" / "ahead.csv"
    assert read_record(path, version="3.9.0") is None
    write_record(path, [FINE, replace(FINE, arch=80)], version="3.9.0", commit="abc")
    assert read_record(path, version="3.9.0") == {
        ("k", 90): FINE,
        ("k", 80): replace(FINE, arch=80),
    }
    assert read_record(path, version="3.8.0") is None


def test_constants_and_alignment_name_real_arguments() -> None:
    with pytest.raises(ValueError, match=r"constexprs: .*k declares the constants \['D'\]"):
        replace(SPEC, constexprs={})
    with pytest.raises(ValueError, match=r"divisible: \['D'\] came"):
        replace(SPEC, divisible=("D",))


def test_every_kernel_that_says_how_it_is_launched_is_checked(root: Path) -> None:
    """`shipped` names them one by one, without import magic; here none is forgotten."""
    kernels = root / "kernels"
    named = (kernels / "ahead" / "__main__.py").read_text(encoding="utf-8")
    for path in kernels.rglob("triton.py"):
        if "\ndef specializations(" in path.read_text(encoding="utf-8"):
            folder = path.parent.relative_to(kernels).as_posix().replace("/", ".")
            assert f"from ..{folder} import triton" in named


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Broken rules of real kernels, by case; the interpreter must be off, hence the process."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    probe = Path(__file__).with_name("compile_probe.py")
    done = subprocess.run([sys.executable, str(probe)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return {name: "\n".join(lines) for name, lines in found.items()}


@pytest.mark.slow
def test_real_kernels_that_keep_the_rules_pass(compiled: dict[str, str]) -> None:
    assert compiled["good"] == ""
    assert compiled["plain"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("spills", "bytes spilled, expected 0"),
        ("spills", "wgmma one at a time"),
        ("unaligned", "no asynchronous copy"),
        ("unaligned", "96 loads of 1 or 2 bytes"),
        ("large", "bytes of shared memory, expected at most 232448"),
        ("no matrix", "tensor cores by none, expected wgmma"),
        ("wrong", "does not compile: at 3:17: … arange's range must be a power of 2"),
    ],
)
def test_real_kernels_that_break_a_rule_are_told(
    compiled: dict[str, str], case: str, said: str
) -> None:
    assert f"{case}, sm_90: " in compiled[case] and said in compiled[case]
