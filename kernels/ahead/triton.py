"""Compiles one specialization for a GPU that need not be there.

`triton.compile` with a target goes down to a cubin by the ptxas in Triton's wheel. ptxas reports
registers, spills and serialised wgmma only in its log, which Triton throws away; it is kept here
beside the cubin in Triton's cache, so that a second run compiles nothing.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.cache import get_cache_manager
from triton.runtime.jit import JITFunction

from .figures import Figures, read
from .specialization import OPTIONS, Specialization

__all__ = ["VERSION", "measure"]

VERSION: str = triton.__version__
LOG = "ptxas.log"


def measure(spec: Specialization, arch: int) -> Figures:
    """The figures of spec on compute capability arch; whatever the compiler raises, passes."""
    if not isinstance(spec.kernel, JITFunction):
        raise ValueError(
            f"kernel: {type(spec.kernel).__name__} came, expected a compiled function; "
            f"TRITON_INTERPRET must not be set"
        )
    compiled, log = _compile(spec, arch)
    return read(
        spec.name, arch, ptx=compiled.asm["ptx"], log=log, shared_bytes=compiled.metadata.shared
    )


def _compile(spec: Specialization, arch: int) -> tuple[Any, str]:
    source, target, options = _source(spec), GPUTarget("cuda", arch, 32), _options(spec)
    said = io.StringIO()
    with knobs.nvidia.scope(), knobs.compilation.scope(), redirect_stdout(said):
        knobs.nvidia.dump_ptxas_log = True
        compiled = triton.compile(source, target=target, options=options)
        cache = get_cache_manager(compiled.hash)
        kept = cache.get_file(LOG)
        if not said.getvalue() and kept is None:  # compiled before, by somebody who kept no log
            knobs.compilation.always_compile = True
            compiled = triton.compile(source, target=target, options=options)
    if said.getvalue():
        kept = cache.put(said.getvalue(), LOG, binary=False)
    return compiled, Path(kept).read_text(encoding="utf-8")


def _source(spec: Specialization) -> ASTSource:
    names = list(spec.kernel.arg_names)
    if set(names) != set(spec.signature):
        raise ValueError(f"signature: {[*spec.signature]} came; {spec.name} takes {names}")
    return ASTSource(
        spec.kernel,
        signature={name: spec.signature[name] for name in names},
        constexprs=dict(spec.constexprs),
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in spec.divisible},
    )


def _options(spec: Specialization) -> dict[str, Any]:
    return {"num_warps": spec.num_warps, "num_stages": spec.num_stages, **OPTIONS}
