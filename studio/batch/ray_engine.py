"""Draws a batch on a Ray cluster: read -> map_batches with an actor that holds a model -> write.

The driver keeps the journal and hands out calls; actors write rows into the output folder, which
every machine must see under the same path. A row's files appear all at once, so whatever is lost,
an actor, a machine or the driver, a row that is there is not drawn again, and one that is not is
drawn anew in the same call.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import UnavailableError
from ..jobs.leases import new_worker
from ..recipe import Recipe
from .claims import Claim, Claims, Outcome
from .journal import Item
from .local_engine import draw_call, pulse, safely
from .row import Frame, Row
from .store import DiskFullError, Store

if TYPE_CHECKING:
    from .run import Batch

__all__ = ["Actor", "draw_on_ray"]

_CALLS = 256  # an actor, of one data set
_IDLE_S = 0.5


class Actor:
    """Holds a model and draws calls; Ray makes one of these in each worker."""

    def __init__(
        self,
        out: str,
        device: str,
        dtype: str,
        folders: Sequence[str],
        allow_download: bool,
        min_free: int,
    ) -> None:
        from ..session import Session
        from .drawer import Drawer

        session = Session(
            device=device,
            dtype=dtype,
            folders=tuple(map(Path, folders)),
            allow_download=allow_download,
        )
        self._drawer = Drawer(session)
        self._store = Store(Path(out), new_worker(), min_free)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        calls = [int(call) for call in batch["call"]]
        found = [self._drawn(str(claim)) for claim in batch["claim"]]
        return {"call": calls, "outcomes": found}

    def _drawn(self, claim: str) -> str:
        """Outcomes as JSON; a full disk is one too, since all actors must stop for it."""
        try:
            outcomes = draw_call(_read(claim), self._drawer, self._store)
        except DiskFullError as error:
            return json.dumps({"full": str(error)})
        return json.dumps({"outcomes": [asdict(outcome) for outcome in outcomes]})


def draw_on_ray(
    batch: Batch,
    claims: Claims,
    *,
    stop: Callable[[], bool],
    told: Callable[[list[Outcome]], None],
) -> bool:
    """Until no call waits; False when stopped before, which takes effect after the calls at hand.

    UnavailableError without Ray, and when there is no more room.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise UnavailableError(
            "engine: ray is not installed; pip install 'attention-studio[ray]'"
        ) from None
    ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    workers = batch.workers or 1
    with pulse(claims):
        try:
            while not stop():
                found = claims.take_many(_CALLS * workers)
                if not found:
                    if not claims.busy():
                        return True
                    time.sleep(_IDLE_S)
                    continue
                for row in _mapped(ray, batch, found).iter_rows():
                    said = json.loads(row["outcomes"])
                    if "full" in said:
                        raise UnavailableError(said["full"])
                    outcomes = [_outcome(one) for one in said["outcomes"]]
                    if claims.end(int(row["call"]), outcomes):
                        told(outcomes)
                    if stop():
                        break
        finally:
            safely(claims.give_back)
    return False


def _mapped(ray: Any, batch: Batch, found: Sequence[Claim]) -> Any:
    workers = batch.workers or 1
    items = [{"call": claim.call, "claim": _written(claim)} for claim in found]
    cuda = batch.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
    return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Actor,
        fn_constructor_kwargs={
            "out": str(batch.out.resolve()),
            "device": batch.device,
            "dtype": batch.dtype,
            "folders": [str(folder.resolve()) for folder in batch.folders],
            "allow_download": batch.allow_download,
            "min_free": batch.min_free,
        },
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=1 if cuda else 0,
    )


def _written(claim: Claim) -> str:
    return json.dumps(
        {
            "call": claim.call,
            "frame": claim.items[0].row.frame.recipe.model_dump(mode="json"),
            "items": [
                {
                    "number": item.number,
                    "id": item.row.id,
                    "line": item.row.line,
                    "prompts": item.row.prompts,
                    "seed": item.row.seed,
                    "said": item.row.said,
                    "state": item.state,
                }
                for item in claim.items
            ],
        }
    )


def _read(text: str) -> Claim:
    found = json.loads(text)
    frame = Frame(Recipe.model_validate(found["frame"]))
    return Claim(found["call"], tuple(_item(one, frame, found["call"]) for one in found["items"]))


def _item(one: Mapping[str, Any], frame: Frame, call: int) -> Item:
    row = Row(one["id"], one["line"], frame, tuple(one["prompts"]), one["seed"], tuple(one["said"]))
    return Item(one["number"], row, one["state"], call, 0, (), (), False, None)


def _outcome(found: Mapping[str, Any]) -> Outcome:
    figures, files = tuple(found["figures"]), tuple(found["files"])
    return Outcome(**{**found, "figures": figures, "files": files})
