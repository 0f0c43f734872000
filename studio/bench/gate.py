"""No time without a right result: each contender against the reference in fp64 on a small case."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .contender import Contender

__all__ = ["LIMITS", "gradients", "worst_error", "wrong"]

# The reference gets the rounded inputs. On tensor cores fp32 is multiplied as tf32.
LIMITS = {
    ("cpu", torch.float32): 2e-5,
    ("cuda", torch.float32): 3e-3,
    ("cpu", torch.float16): 2e-3,
    ("cuda", torch.float16): 2e-3,
    ("cpu", torch.bfloat16): 1.6e-2,
    ("cuda", torch.bfloat16): 1.6e-2,
}

Attend = Callable[..., Tensor]


def worst_error(
    contender: Contender, reference: Attend, given: Sequence[Tensor], *, backward: bool
) -> float:
    """Largest difference of the output, and of each gradient when backward, over the largest value.

    given = q, k, v of the case that contender and reference are for.
    """
    assert contender.attend is not None
    exact = [x.double() for x in given]
    pairs = [(_restored(contender, contender.attend(*contender.inputs)), reference(*exact))]
    if backward:
        dout = torch.randn_like(pairs[0][1])
        order = slice(None) if contender.restore is None else contender.restore.argsort()
        found = gradients(contender.attend, contender.inputs, dout[..., order, :])()
        wanted = gradients(reference, exact, dout)()
        pairs += [(_restored(contender, x), y) for x, y in zip(found, wanted, strict=True)]
    return max(_difference(x, y) for x, y in pairs)


def wrong(error: float, device: torch.device, dtype: torch.dtype) -> str:
    """Why a contender is refused, or nothing; NaN is refused."""
    limit = LIMITS[device.type, dtype]
    if error <= limit:
        return ""
    return f"refused: differs from the reference by {error:.2g} on a small case, limit {limit:g}"


def gradients(
    attend: Attend, inputs: Sequence[Tensor], dout: Tensor | None = None
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that runs the backward pass only: the forward pass is done here.

    dout: gradient of the output; normal numbers when not given.
    """
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = attend(*leaves)
    dout = torch.randn_like(out) if dout is None else dout.to(out)
    return lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True)


def _restored(contender: Contender, x: Tensor) -> Tensor:
    return x if contender.restore is None else x[..., contender.restore, :]


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).abs().max() / wanted.abs().max())
