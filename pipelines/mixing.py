"""What every mixin before a stock pipeline class is: its call, signature and components."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["SteeredMixin"]


class SteeredMixin:
    """A mixin of this class whose `__call__` stands before that of a stock pipeline class.

    class EditMixin(SteeredMixin): ...
    class EditPipeline(EditMixin, StableDiffusionPipeline): ...
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for mixin in cls.__bases__:
            if SteeredMixin in mixin.__bases__:
                stock = super().__call__  # type: ignore[misc]
                cls.__call__ = _signed(mixin.__call__, stock)  # type: ignore[method-assign]

    @classmethod
    def from_pipe(cls, pipeline: Any, **options: Any) -> Any:
        """Shares the components of a pipeline. Differs: keeps their dtype unless one is given."""
        stock: Any = super()
        return stock.from_pipe(pipeline, **_kept_dtype(pipeline, options))


def _signed(ours: Any, stock: Any) -> Any:
    """`ours` as a method that shows the stock call's arguments, then its own by name."""
    theirs = inspect.signature(stock).parameters.values()
    own = [p for p in inspect.signature(ours).parameters.values() if p.kind is p.KEYWORD_ONLY]
    named = [p for p in theirs if p.kind is not p.VAR_KEYWORD]
    rest = [p for p in theirs if p.kind is p.VAR_KEYWORD]

    @functools.wraps(ours)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        return ours(self, *args, **options)

    call.__signature__ = inspect.Signature([*named, *own, *rest])  # type: ignore[attr-defined]
    call.__doc__ = f"{inspect.getdoc(ours)}\n\n{inspect.getdoc(stock)}"
    return call


def _kept_dtype(pipeline: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `from_pipe` that leave the dtype of shared components as it is.

    ValueError where they have several and none is asked for, since all would be cast.
    """
    if {"dtype", "torch_dtype"} & options.keys():
        return dict(options)
    modules = {k: m for k, m in pipeline.components.items() if hasattr(m, "dtype")}
    dtypes = {k: m.dtype for k, m in modules.items() if isinstance(m, torch.nn.Module)}
    if len(set(dtypes.values())) > 1:
        raise ValueError(
            f"dtype: the shared components have several ({dtypes}) and all would be cast; "
            "expected dtype="
        )
    return {**options, "dtype": pipeline.dtype}
