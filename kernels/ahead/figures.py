"""What a compiled kernel tells about its speed, read from its PTX and from what ptxas says."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Figures", "read"]

WGMMA = re.compile(r"\bwgmma\.mma_async\b")
MMA = re.compile(r"\bmma\.sync\b")
# cp.async.cg always moves 16 bytes, cp.async.ca says how many, bulk copies (TMA) move whole boxes.
COPY = re.compile(r"\bcp\.async\.(?:(cg)\.|ca\.[^;]*?\], (0x\w+|\d+)|(bulk\.)(?!commit|wait))")
LOAD = re.compile(r"\bld\.global(?:\.\w+(?:::\w+)*)*?(?:\.v(\d))?\.[bfus](\d+)\b")
REGISTERS = re.compile(r"Used (\d+) registers")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
SERIALIZED = re.compile(
    r"wgmma\.mma_async instructions are serialized due to (.+?) in (?:the )?func"
)


@dataclass(frozen=True)
class Figures:
    """One kernel, one specialization, one compute capability; counts are static instructions."""

    name: str
    arch: int
    tensor_core: str  # "wgmma", "mma", "wgmma and mma" or "none"
    registers: int  # a thread
    stack_bytes: int
    spill_bytes: int
    shared_bytes: int  # a block, what the kernel asks for
    async_copies: int  # global to shared memory
    wide_loads: int  # of 16 bytes and more, copies included
    narrow_bytes: int  # that a thread loads in smaller pieces
    tiny_loads: int  # of 1 or 2 bytes: what is loaded when an alignment is not known
    serialized: str = ""  # why ptxas waits for each wgmma; empty when it does not


def read(name: str, arch: int, *, ptx: str, log: str, shared_bytes: int) -> Figures:
    """Figures from the PTX, from the log of `ptxas -v`, and from the shared memory asked for."""
    copies = [16 if cg or bulk else int(size, 0) for cg, size, bulk in COPY.findall(ptx)]
    sizes = copies + [int(count or 1) * int(bits) // 8 for count, bits in LOAD.findall(ptx)]
    registers, frame = REGISTERS.search(log), FRAME.search(log)
    if registers is None or frame is None:
        raise ValueError(f"log: no registers and stack frame of {name} in {log!r}")
    stack, stored, loaded = map(int, frame.groups())
    serialized = SERIALIZED.search(log)
    used = [name for name, found in (("wgmma", WGMMA), ("mma", MMA)) if found.search(ptx)]
    return Figures(
        name=name,
        arch=arch,
        tensor_core=" and ".join(used) or "none",
        registers=int(registers[1]),
        stack_bytes=stack,
        spill_bytes=stored + loaded,
        shared_bytes=shared_bytes,
        async_copies=len(copies),
        wide_loads=sum(size >= 16 for size in sizes),
        narrow_bytes=sum(size for size in sizes if size < 16),
        tiny_loads=sum(size <= 2 for size in sizes),
        serialized=serialized[1] if serialized else "",
    )
