"""Local windows: the stock model under an equal dense mask, the laws, and every combination."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors import (
    Dense,
    Excite,
    Interval,
    LocalWindow,
    Mask,
    RecordMaps,
    ReplaceWords,
    Rows,
    Window,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Call, Step
from attention_studio.processors.control import Control
from attention_studio.processors.controls.local_window import pooled_keys
from attention_studio.processors.engine import run
from attention_studio.processors.families import family_of
from attention_studio.processors.windows import Windows

from .conftest import Studio
from .dense_windows import Masked
from .joint_pipelines import JOINT, PROMPTS, STEPS, JointStudio
from .test_stock import traces

GRID = (8, 8)
IMAGE = GRID[0] * GRID[1]


@contextmanager
def masked(studio: JointStudio, *oracle: Any) -> Iterator[Masked]:
    transformer = studio.pipe.transformer
    stock, mode = transformer.forward, Masked(*oracle)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return stock(*args, **kwargs)

    transformer.forward = forward
    try:
        yield mode
    finally:
        del transformer.forward


@pytest.fixture(params=JOINT)
def studio(request: pytest.FixtureRequest) -> JointStudio:
    return JointStudio(request.param)


def text_first(studio: JointStudio) -> bool:
    return studio.name in ("flux", "qwen")


@pytest.mark.parametrize(
    ("size", "radius", "f"), [((32, 32), 2.5, None), ((32, 48), 3, 4), ((48, 32), 1, 2)]
)
def test_it_is_the_stock_model_under_the_dense_mask(
    studio: JointStudio, size: tuple[int, int], radius: float, f: int | None
) -> None:
    height, width = size
    control = LocalWindow(radius, pooled=f)
    grid = (height // 4, width // 4)
    with masked(studio, radius, grid, text_first(studio), f, 1.0) as oracle:
        expected = studio(height=height, width=width)
    assert oracle.calls > 0
    stock = studio(height=height, width=width)
    with attach(studio.pipe, [control]):
        found = studio(height=height, width=width)
    assert (expected - stock).abs().max() > 1e-2, "the mask must matter"
    assert (found - expected).abs().max() <= 1e-5 * max(1, float(expected.abs().max()))


def test_the_scale_grows_with_the_tokens_as_the_authors_have_it(studio: JointStudio) -> None:
    """log_n0(n), n0 = 64² + T where the family says 64 tokens a side."""
    control = LocalWindow(3, scale="proportional", trained=4)
    seen: list[Call] = []

    class Spy(Control):
        def tokens(self, call: Call) -> Call:
            seen.append(call)
            return call

    with attach(studio.pipe, [control, Spy(rows=Rows.ALL)]):
        found = studio(guidance=1.0)
    for call in seen:
        tokens = 64 + call.texts
        assert call.scale == pytest.approx(
            math.sqrt(math.log(tokens) / math.log(16 + call.texts) / call.q.shape[-1])
        )
    if studio.name == "sd3-dual":
        return  # its second attentions have another number of tokens
    factor = float(seen[0].scale or 0) * seen[0].q.shape[-1] ** 0.5
    with masked(studio, 3, GRID, text_first(studio), None, factor):
        expected = studio(guidance=1.0)
    assert (found - expected).abs().max() <= 1e-5 * max(1, float(expected.abs().max()))


def test_a_window_over_the_whole_grid_is_dense_up_to_rounding(studio: JointStudio) -> None:
    stock = studio()
    with attach(studio.pipe, [LocalWindow(12)]):
        found = studio()
    assert (found - stock).abs().max() <= 1e-5 * max(1, float(stock.abs().max()))


def test_while_it_is_off_and_after_it_is_gone_the_bits_are_stock(studio: JointStudio) -> None:
    stock, before = studio(), traces(studio.pipe)
    never = Interval(0, 0)
    idle = [LocalWindow(2, during=never), LocalWindow(2, blocks=never)]
    if studio.name == "flux":
        idle.append(LocalWindow(2, ntk=10, during=never))
    with attach(studio.pipe, idle):
        assert torch.equal(studio(), stock)
    with attach(studio.pipe, [LocalWindow(2)]):
        assert not torch.equal(studio(), stock)
    assert traces(studio.pipe) == before
    assert torch.equal(studio(), stock)


def test_a_late_radius_is_that_of_the_second_half(studio: JointStudio) -> None:
    halves = [LocalWindow(3, during=Interval(0, 0.5)), LocalWindow(1, during=Interval(0.5, 1))]
    with attach(studio.pipe, halves):
        expected = studio()
    for window in (LocalWindow(3), LocalWindow(1)):
        with attach(studio.pipe, [window]):
            assert not torch.equal(studio(), expected)
    with attach(studio.pipe, [LocalWindow(3, late=1)]):
        assert torch.equal(studio(), expected)


def test_steps_and_blocks_can_stay_dense_and_sizes_need_nothing_new(studio: JointStudio) -> None:
    control = LocalWindow(2, during=Interval(0.4, 1), blocks=Interval(0.5, 1))
    with attach(studio.pipe, [control]):
        first, second = studio(), studio(height=48, width=32)
        again = studio()
    assert torch.equal(first, again) and second.shape != first.shape
    with attach(studio.pipe, [LocalWindow(2)]):
        assert not torch.equal(studio(), first)
    depths = [site.depth for _, site in family_of(studio.pipe).sites(studio.pipe.transformer)]
    where = [
        (index, site.depth)
        for index in range(STEPS)
        for _, site in family_of(studio.pipe).sites(studio.pipe.transformer)
        if control.acts(site, Step(index, index, STEPS, 1.0))
    ]
    assert where == [(i, d) for i in (2,) for d in depths if d is not None and d >= 0.5]


def test_ntk_changes_positions_of_flux_and_is_refused_elsewhere(studio: JointStudio) -> None:
    stock = studio()
    control = LocalWindow(12, ntk=10)
    if studio.name != "flux":
        with (
            pytest.raises(ValueError, match="ntk: came 10"),
            attach(studio.pipe, [control]),
        ):
            pass
        assert torch.equal(studio(), stock)
        return
    embed = studio.pipe.transformer.pos_embed
    theta = embed.theta
    with attach(studio.pipe, [control]):
        assert embed.theta == 10 * theta
        found = studio()
    assert embed.theta == theta and not torch.allclose(found, stock, atol=1e-3)
    embed.theta = 10 * theta
    expected = studio()
    embed.theta = theta
    assert (found - expected).abs().max() <= 1e-5 * max(1, float(expected.abs().max()))


def test_edits_and_maps_with_windows_are_those_of_the_same_mask_as_a_table(
    studio: JointStudio,
) -> None:
    class Table(LocalWindow):
        def mask(self, call: Call) -> Mask:
            return Mask.of(Dense(Window(self.radius).allowed(call)))

    pictures, maps = [], []
    for window in (LocalWindow(3, pooled=2), Table(3, pooled=2)):
        with attach(studio.pipe, [window, ReplaceWords(), RecordMaps(("tiger", "grass"))]) as live:
            pictures.append(studio())
        maps.append(live.maps.get("tiger", prompt=1))
    assert not torch.equal(pictures[0][0], pictures[0][1])
    for found, expected in (pictures, maps):
        assert (found - expected).abs().max() <= 1e-5 * max(1, float(expected.abs().max()))


def test_it_has_gradients_for_objectives() -> None:
    studio = JointStudio("flux")
    with attach(studio.pipe, [LocalWindow(3)]):
        plain = studio()
    excite = Excite(("tiger", "grass"), (), rows=Rows.COND_EDIT)
    with attach(studio.pipe, [LocalWindow(3), excite]) as live:
        moved = studio()
    assert live.nudges and not torch.equal(moved[1], plain[1]) and bool(moved.isfinite().all())


def test_no_table_is_formed_where_windows_alone_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("a table of N x S was formed")

    monkeypatch.setattr(Window, "allowed", never)
    for name in JOINT:
        studio = JointStudio(name)
        with attach(studio.pipe, [LocalWindow(3, pooled=2), RecordMaps(("grass",))]):
            studio()


def test_rows_have_windows_of_their_own() -> None:
    seen: list[Call] = []

    class Keep(Control):
        def tokens(self, call: Call) -> Call:
            seen.append(call)
            return call

    class OfEdits(Control):
        def mask(self, call: Call) -> Mask:
            return Mask.of(Window(2))

    studio = JointStudio("qwen")
    with attach(studio.pipe, [Keep()]):
        studio(guidance=1.0)
    call = seen[0]
    controls = [OfEdits(), LocalWindow(4)]
    windows = Windows.of(call, controls)
    assert windows.any and windows.radii == (4, 2)
    out = run(call, controls)
    for row, radius in enumerate(windows.radii):
        alone = run(call, [LocalWindow(float(radius or 0))])
        assert torch.allclose(out[row], alone[row], atol=1e-6)
    dense = windows.table(call.bias)
    assert dense is not None
    expected = F.scaled_dot_product_attention(call.q, call.k, call.v, attn_mask=dense)
    assert torch.allclose(out, expected, atol=1e-5)


def test_pooled_keys_are_weighed_sums_of_cells() -> None:
    x, weight = torch.randn(2, 3, 24, 5), torch.randn(2, 2)
    found = pooled_keys(x, (4, 6), weight)
    assert found.shape == (2, 3, 6, 5)
    corner = sum(weight[a, b] * x[:, :, 6 * (2 + a) + 4 + b] for a in (0, 1) for b in (0, 1))
    assert torch.allclose(found[:, :, 5], torch.as_tensor(corner), atol=1e-6)
    with pytest.raises(ValueError, match="pooled: came cells of 2 x 2 for a grid of 3 x 4"):
        pooled_keys(torch.randn(1, 1, 12, 2), (3, 4), weight)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LocalWindow(0), "radius: came 0"),
        (lambda: LocalWindow(2, late=-1), "late: came -1"),
        (lambda: LocalWindow(2, pooled=1), "pooled: came 1"),
        (lambda: LocalWindow(2, pooled=3), "pooled: came cells of 3 x 3"),
        (lambda: LocalWindow(2, scale="loud"), "scale: came 'loud'"),  # type: ignore[arg-type]
        (lambda: LocalWindow(2, rows=Rows.COND), "rows: came"),
    ],
)
def test_wrong_settings_are_one_sentence(make: Callable[[], LocalWindow], said: str) -> None:
    studio = JointStudio("flux")
    with pytest.raises(ValueError, match=said), attach(studio.pipe, [make()]):
        studio(PROMPTS)


def test_two_that_pool_and_unets_are_refused() -> None:
    studio = JointStudio("flux")
    with (
        pytest.raises(ValueError, match="expected pooled keys of one local_window"),
        attach(studio.pipe, [LocalWindow(2, pooled=2), LocalWindow(3, pooled=2)]),
    ):
        studio()
    unet = Studio("sd")
    with (
        pytest.raises(ValueError, match="local_window is for transformers"),
        attach(unet.pipe, [LocalWindow(2)]),
    ):
        unet()
