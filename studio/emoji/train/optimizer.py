"""The optimizer of the embedded models: Muon for matrices and convolutions, AdamW for the rest.

Muon (Jordan et al. 2024; `torch.optim.Muon`) orthogonalises each update, which in runs of a few
thousand steps learns from fewer pictures than Adam. ours: a convolution `[O, I, h, w]` is seen as
the matrix `[O, I h w]`.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Optimizer"]

_MUON_FACTOR = 2.0  # its rate relative to AdamW's, with updates scaled to AdamW's size


class Optimizer:
    """Both optimizers behind the three calls a training loop makes."""

    def __init__(self, model: nn.Module) -> None:
        matrices, rest = _split(model)
        # Views share storage with the parameters, so a step on them is a step on the model.
        self.views = [(p, nn.Parameter(p.detach().view(len(p), -1))) for p in matrices]
        self.adamw = torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.muon = (
            torch.optim.Muon(
                [view for _, view in self.views],
                weight_decay=0.01,
                adjust_lr_fn="match_rms_adamw",
            )
            if matrices
            else None
        )

    def step(self, rate: float) -> None:
        """One update of every parameter at AdamW's learning rate `rate`."""
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        if self.muon is None:
            return
        for group in self.muon.param_groups:
            group["lr"] = _MUON_FACTOR * rate
        for parameter, view in self.views:
            view.grad = None if parameter.grad is None else parameter.grad.view_as(view)
        self.muon.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adamw.zero_grad(set_to_none=True)
        for parameter, view in self.views:
            parameter.grad = view.grad = None


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
