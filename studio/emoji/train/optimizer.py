"""The optimizer of the embedded models: Muon for matrices and convolutions, AdamW for the rest.

Muon (Jordan et al. 2024) orthogonalises each update, which in runs of a few thousand steps learns
from fewer pictures than Adam:
    M <- mu M + (1 - mu) G,  U = polar((1 - mu) G + mu M),  W <- (1 - rate decay) W - rate U
with the gradient G, momentum mu and the polar factor by five Newton-Schulz steps
X <- a X + (b A + c A A) X, A = X X'. For an n x m matrix the update is scaled to the size of
AdamW's, by 0.2 sqrt(max(n, m)) (Liu et al. 2025, arXiv:2502.16982).
ours: a convolution `[O, I, h, w]` is seen as the matrix `[O, I h w]`; and the Newton-Schulz steps
are made in fp32 where bf16 is not faster, unlike `torch.optim.Muon`, which took half a minute a
step on a CPU without bf16 instructions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .precision import multiplies_bf16

__all__ = ["Muon", "Optimizer", "polar"]

_MUON_FACTOR = 2.0  # its rate relative to AdamW's, with updates scaled to AdamW's size
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of Jordan et al.


class Optimizer:
    """Both optimizers behind the three calls a training loop makes."""

    def __init__(self, model: nn.Module) -> None:
        matrices, rest = _split(model)
        self.adamw = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.muon = Muon(matrices)

    def step(self, rate: float) -> None:
        """One update of every parameter at AdamW's learning rate `rate`."""
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.muon.step(_MUON_FACTOR * rate)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adamw.zero_grad(set_to_none=True)
        for parameter in self.muon.momenta:
            parameter.grad = None


class Muon:
    """See the head of this file; `parameters` have two dimensions or more."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.momenta = {p: torch.zeros_like(p) for p in parameters}

    @torch.no_grad()
    def step(self, rate: float, *, momentum: float = 0.95, decay: float = 0.01) -> None:
        """One update of every parameter that has a gradient."""
        for parameter, average in self.momenta.items():
            if parameter.grad is None:
                continue
            average.lerp_(parameter.grad, 1 - momentum)
            update = polar(parameter.grad.lerp(average, momentum).flatten(1))
            size = 0.2 * max(update.shape) ** 0.5
            parameter.mul_(1 - rate * decay)
            parameter.add_(update.view_as(parameter), alpha=-rate * size)


def polar(matrix: Tensor, steps: int = 5) -> Tensor:
    """Nearly U V' of the singular value decomposition U S V' of `[n, m]`: values within 0.7-1.2."""
    a, b, c = _NEWTON_SCHULZ
    fast = torch.bfloat16 if multiplies_bf16(str(matrix.device)) else torch.float32
    x = (matrix / matrix.norm().clamp_min(1e-7)).to(fast)
    wide = len(x) <= x.shape[1]
    x = x if wide else x.T
    if fast is torch.float32 and x.shape[1] >= 2 * len(x):
        x = _power(x @ x.T, steps) @ x
    else:
        for _ in range(steps):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.T).to(matrix.dtype)


def _power(gram: Tensor, steps: int) -> Tensor:
    """The product of all Newton-Schulz factors, from the square matrix A = X X' of the start.

    ours: the factors are polynomials of A and commute, so a long matrix is multiplied twice in
    all instead of twice a step: 2.5 times faster for 160 x 1440, with rounding of 1e-6.
    """
    a, b, c = _NEWTON_SCHULZ
    product = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    return product


def _split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Hidden matrices and convolutions; embeddings, norms, biases and thin layers are the rest."""
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        hidden = parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= 32
        (matrices if hidden and id(parameter) not in embeddings else rest).append(parameter)
    return matrices, rest
