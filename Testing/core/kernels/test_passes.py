"""BatchNorm with ReLU and residual, and attention, over rows: equal to PyTorch's own, gradients included."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from AutofocusCore.kernels import (
    ActiveVoxels,
    attention_over_rates,
    infer_attention,
    infer_layer,
    native_kernel,
    normalise_rows,
)
from AutofocusCore.kernels.library import FALLBACK, VARIABLE, usable_sets


@pytest.fixture(params=[*usable_sets(), FALLBACK])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that this processor has, and PyTorch."""
    monkeypatch.setenv(VARIABLE, request.param)
    assert native_kernel() == (None if request.param == FALLBACK else request.param)
    return request.param


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch_norm(channels: int, *, momentum: float | None = 0.1) -> nn.BatchNorm3d:
    norm = nn.BatchNorm3d(channels, momentum=momentum)
    norm.running_mean, norm.running_var = random(channels, seed=4), random(channels, seed=5).exp()
    norm.weight.data, norm.bias.data = random(channels, seed=6), random(channels, seed=7)
    return norm


def gradients(out: Tensor, leaves: dict[str, Tensor | None]) -> dict[str, Tensor]:
    out.backward(random(*out.shape, seed=9).to(out.dtype))
    found = {name: leaf.grad for name, leaf in leaves.items() if leaf is not None}
    return {"out": out.detach()} | {name: grad for name, grad in found.items() if grad is not None}


def assert_equal(ours: dict[str, Tensor], truth: dict[str, Tensor], tolerance: float = 1e-4) -> None:
    assert ours.keys() == truth.keys()
    for name, expected in truth.items():
        scale = max(1.0, float(expected.abs().max()))
        assert torch.allclose(ours[name].double(), expected.double(), rtol=tolerance, atol=tolerance * scale), name


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("relu", "with_residual"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize(("count", "channels"), [(333, 50), (2, 3), (70, 16)])
def test_normalised_rows_equal_pytorchs_and_so_do_their_gradients(
    training, relu, with_residual, count, channels
) -> None:
    ours, theirs = batch_norm(channels).train(training), batch_norm(channels).train(training)

    def run(norm: nn.BatchNorm3d, native: bool) -> dict[str, Tensor]:
        rows = (random(count, channels) * 3 + 20).requires_grad_()  # a mean that is large beside the deviation
        residual = random(count, channels, seed=2).requires_grad_() if with_residual else None
        if native:
            out = normalise_rows(norm, rows, residual=residual, relu=relu)
        else:
            out = functional.batch_norm(
                rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, 0.1, norm.eps
            )
            out = out if residual is None else out + residual
            out = out.relu() if relu else out
        leaves = {"rows": rows, "residual": residual, "weight": norm.weight, "bias": norm.bias}
        return gradients(out, leaves) | {"mean": norm.running_mean, "variance": norm.running_var}

    assert_equal(run(ours, True), run(theirs, False))
    assert int(ours.num_batches_tracked) == int(training)


@pytest.mark.usefixtures("kernel")
def test_running_statistics_without_a_momentum_are_the_mean_of_all_batches() -> None:
    ours, theirs = batch_norm(5, momentum=None), batch_norm(5, momentum=None)
    for seed in (1, 2, 3):
        rows = random(40, 5, seed=seed)
        normalise_rows(ours, rows)
        theirs(rows.t()[None, :, :, None, None])
    assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-5)


@pytest.mark.usefixtures("kernel")
def test_normalised_rows_in_bfloat16_are_rounded_once() -> None:
    norm, rows = batch_norm(30), random(500, 30).bfloat16()
    exact = normalise_rows(copy.deepcopy(norm), rows.float(), relu=True)
    out = normalise_rows(norm, rows, relu=True)
    assert out.dtype == torch.bfloat16
    assert ((out.float() - exact).abs() <= 2**-8 * exact.abs() + 1e-5).all()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("channels", "hidden", "rates"), [(6, 3, 2), (40, 20, 4), (9, 17, 5), (4, 2, 1)])
def test_attention_equals_pytorchs_and_so_do_its_gradients(channels, hidden, rates) -> None:
    voxels = ActiveVoxels.from_mask(torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.6)

    def run(native: bool) -> dict[str, Tensor]:
        leaves = {
            "rows": random(voxels.count, channels), "weight": random(hidden, channels, 3, 3, 3, seed=2),
            "bias": random(hidden, seed=3), "last": random(rates, hidden, seed=4), "last_bias": random(rates, seed=5),
        }  # fmt: skip
        for leaf in leaves.values():
            leaf.requires_grad_()
        rows, weight, bias, last, last_bias = leaves.values()
        if native:
            out = attention_over_rates(rows, voxels, weight, bias, last, last_bias)
        else:
            scores = functional.conv3d(voxels.scatter(rows), weight, bias, padding=1).relu()
            out = functional.linear(voxels.gather(scores), last, last_bias).softmax(1)
        return gradients(out, leaves)

    assert_equal(run(True), run(False))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("spread", [0.0, 1.0, 100.0])
def test_attention_sums_to_one_and_is_exact_for_small_and_large_scores(spread: float) -> None:
    hidden, last, bias = random(90, 7).relu(), random(4, 7, seed=2) * spread, random(4, seed=3)
    attention, rounded = infer_attention(hidden, last, bias)
    assert attention.dtype == torch.float32
    assert torch.equal(rounded, attention)
    of_pairs, of_bfloat16 = infer_attention(hidden.bfloat16(), last, bias)
    assert torch.allclose(of_bfloat16, of_pairs.bfloat16(), rtol=0, atol=1e-30)  # subnormal numbers may become zero
    assert torch.allclose(attention.double(), (hidden @ last.T + bias).double().softmax(1), atol=1e-5)
    assert torch.allclose(attention.sum(1), torch.ones(90), atol=1e-6)


@pytest.mark.usefixtures("kernel")
def test_what_is_no_number_stays_none_behind_a_relu_and_a_softmax() -> None:
    rows = torch.tensor([[float("nan"), 1.0], [2.0, 3.0]])
    voxels = ActiveVoxels.from_mask(torch.tensor([True, False, False, True]).view(1, 1, 1, 4))
    assert normalise_rows(batch_norm(2).eval(), rows, relu=True)[0, 0].isnan()
    assert infer_layer(rows, torch.ones(3, 2, 3, 3, 3), voxels, rates=(1,), relu=True)[0].isnan().all()
    attention, _ = infer_attention(rows, random(4, 2), random(4))
    assert attention[0].isnan().all()
    assert not attention[1].isnan().any()
