"""The blended convolution equals dense, masked convolutions: outputs and all gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from AutofocusCore.errors import SettingError
from AutofocusCore.kernels import ActiveVoxels, blended_convolution, infer_layer, native_kernel
from AutofocusCore.kernels.library import FALLBACK, VARIABLE, usable_sets
from Testing.core.kernels.dense import dense_convolution

SHAPE = (5, 7, 9)


def random_mask(batch: int = 1, *, share: float = 0.6) -> Tensor:
    return torch.rand(batch, *SHAPE, generator=torch.Generator().manual_seed(7)) < share


def one_voxel(place: tuple[int, int, int]) -> Tensor:
    mask = torch.zeros(1, *SHAPE, dtype=torch.bool)
    mask[(0, *place)] = True
    return mask


MASKS = {
    "random": random_mask(),
    "batch of two": random_mask(2),
    "empty": torch.zeros(1, *SHAPE, dtype=torch.bool),
    "one voxel": one_voxel((2, 3, 4)),
    "one voxel in the corner": one_voxel((0, 0, 8)),
    "everything": torch.ones(1, *SHAPE, dtype=torch.bool),
    "one empty sample": torch.stack([torch.zeros(SHAPE, dtype=torch.bool), random_mask()[0]]),
}
CASES = [  # mask, input channels, output channels, rates
    *((name, 5, 6, (1, 2)) for name in MASKS),
    ("random", 1, 30, (1,)),
    ("random", 4, 3, (2,)),
    ("random", 30, 40, (2, 6, 10, 14)),
    ("batch of two", 40, 50, (1, 2, 3)),
    ("random", 50, 25, (3,)),
    ("random", 15, 20, (2, 3, 1, 4, 5)),
    ("random", 33, 70, (6, 1, 2, 3, 4, 5)),
]


@pytest.fixture(params=[*usable_sets(), FALLBACK])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each instruction set that this processor has, and PyTorch."""
    monkeypatch.setenv(VARIABLE, request.param)
    assert native_kernel() == (None if request.param == FALLBACK else request.param)
    return request.param


class Problem:
    """Random tensors for one case; all of them ask for gradients."""

    def __init__(self, mask: str, channels: int, outputs: int, rates: tuple[int, ...]) -> None:
        random = torch.Generator().manual_seed(3)
        self.voxels, self.rates = ActiveVoxels.from_mask(MASKS[mask]), rates
        count = self.voxels.count
        self.features = torch.randn(count, channels, generator=random)
        self.weight = torch.randn(outputs, channels, 3, 3, 3, generator=random) / channels**0.5
        self.attention = torch.randn(count, len(rates), generator=random).softmax(1) if len(rates) > 1 else None
        self.bias = torch.randn(outputs, generator=random)
        self.first_bias = torch.randn(outputs, generator=random) if len(rates) > 1 else None
        self.along = torch.randn(count, outputs, generator=random)

    def run(self, convolution, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Output and gradients, in float32, of a convolution in ``dtype`` on inputs that were rounded to bfloat16."""
        names = ("features", "weight", "attention", "bias", "first_bias")
        given = {name: getattr(self, name) for name in names}
        inputs = {
            name: value.bfloat16().to(dtype).requires_grad_() for name, value in given.items() if value is not None
        }
        options = {name: value for name, value in inputs.items() if name not in ("features", "weight")}
        out = convolution(inputs["features"], inputs["weight"], self.voxels, rates=self.rates, **options)
        out.backward(self.along.bfloat16().to(dtype))
        return {"output": out.detach().float()} | {name: value.grad.float() for name, value in inputs.items()}


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("mask", "channels", "outputs", "rates"), CASES)
def test_outputs_and_gradients_equal_those_of_dense_convolutions(mask, channels, outputs, rates) -> None:
    problem = Problem(mask, channels, outputs, rates)
    truth, ours = problem.run(dense_convolution), problem.run(blended_convolution)
    for name, expected in truth.items():
        scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        assert torch.allclose(ours[name], expected, rtol=1e-4, atol=1e-5 * scale), name


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(("mask", "channels", "outputs", "rates"), [case for case in CASES if case[0] == "random"])
def test_bfloat16_is_at_most_twice_as_far_from_float32_as_pytorch_is(mask, channels, outputs, rates) -> None:
    # The measure: the root of the mean squared difference from dense float32 convolutions of the same, rounded inputs.
    problem = Problem(mask, channels, outputs, rates)
    truth = problem.run(dense_convolution)
    theirs, ours = (problem.run(way, torch.bfloat16) for way in (dense_convolution, blended_convolution))
    for name, expected in truth.items():
        error, allowed = ((some[name] - expected).square().mean().sqrt() for some in (ours, theirs))
        assert error <= 2 * allowed, name


def test_parameters_may_stay_in_float32_beside_bfloat16_features() -> None:
    problem = Problem("random", 30, 40, (1, 2))
    weight, bias = problem.weight.clone().requires_grad_(), problem.bias.clone().requires_grad_()
    attention = problem.attention.clone().requires_grad_()
    features = problem.features.bfloat16().requires_grad_()
    out = blended_convolution(features, weight, problem.voxels, rates=problem.rates, attention=attention, bias=bias)
    out.sum().backward()
    assert (out.dtype, features.grad.dtype) == (torch.bfloat16, torch.bfloat16)
    assert {tensor.grad.dtype for tensor in (weight, bias, attention)} == {torch.float32}


@pytest.mark.usefixtures("kernel")
def test_inference_adds_the_residual_and_clips_below_zero_in_one_pass() -> None:
    problem = Problem("random", 30, 40, (1, 2))
    residual = torch.randn(problem.voxels.count, 40)
    options = {"rates": problem.rates, "attention": problem.attention, "bias": problem.bias}
    options["first_bias"] = problem.first_bias
    expected = torch.relu(dense_convolution(problem.features, problem.weight, problem.voxels, **options) + residual)
    out = torch.empty(problem.voxels.count, 40)
    ours = infer_layer(
        problem.features, problem.weight, problem.voxels, **options, residual=residual, relu=True, out=out
    )
    assert ours is out
    assert torch.allclose(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_part_computed_from_a_window_of_the_features_equals_that_part_of_the_whole(dtype: torch.dtype) -> None:
    problem = Problem("everything", 12, 20, (1, 2))
    plane = SHAPE[1] * SHAPE[2]
    part, first_row = slice(2 * plane, 3 * plane), 0
    features, attention = problem.features.to(dtype), problem.attention.to(dtype)
    options = {"rates": (1, 2), "bias": problem.bias, "first_bias": problem.first_bias, "relu": True}
    whole = infer_layer(features, problem.weight, problem.voxels, attention=attention, **options)
    out = torch.empty(plane, 20, dtype=dtype)
    for part, first_row, last_row in ((slice(0, plane), 0, 3 * plane), (slice(4 * plane, 5 * plane), 2 * plane, None)):
        infer_layer(
            features[first_row:last_row], problem.weight, problem.voxels, attention=attention[part], **options,
            part=part, first_row=first_row, out=out,
        )  # fmt: skip
        assert torch.equal(out, whole[part])


@pytest.mark.usefixtures("kernel")
def test_a_voxel_beside_the_mask_does_not_see_what_is_not_a_number_elsewhere() -> None:
    voxels = ActiveVoxels.from_mask(torch.tensor([True, False, False, False, True]).view(1, 1, 1, 5))
    features = torch.tensor([[float("nan")] * 5, [1.0] * 5])
    out = blended_convolution(
        features, torch.ones(6, 5, 3, 3, 3), voxels, rates=(1, 2), attention=torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    )
    assert out[0].isnan().all()
    assert torch.equal(out[1], torch.full((6,), 5.0))


def test_only_the_gradients_that_are_asked_for_are_computed() -> None:
    problem = Problem("random", 4, 6, (1, 2))
    weight = problem.weight.clone().requires_grad_()
    blended_convolution(
        problem.features, weight, problem.voxels, rates=(1, 2), attention=problem.attention
    ).sum().backward()
    assert problem.features.grad is None
    assert weight.grad is not None


def test_double_precision_passes_the_check_of_gradients_by_differences() -> None:
    voxels = ActiveVoxels.from_mask(torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(2)) < 0.7)
    inputs = [torch.randn(*shape, dtype=torch.double, requires_grad=True)
              for shape in ((voxels.count, 2), (3, 2, 3, 3, 3), (voxels.count, 2), (3,))]  # fmt: skip
    assert torch.autograd.gradcheck(
        lambda f, w, a, b: blended_convolution(f, w, voxels, rates=(1, 2), attention=a, bias=b), inputs
    )


@pytest.mark.parametrize(("change", "message"), [
    ({"features": torch.zeros(3, 5)}, "active voxels"),
    ({"weight": torch.zeros(6, 4, 3, 3, 3)}, r"give a weight \(O, 5, 3, 3, 3\)"),
    ({"rates": (0, 1)}, r"Dilation rates \[0, 1\]"),
    ({"attention": None}, "need attention"),
    ({"rates": (1, 2, 3)}, "3 rates"),
])  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(change, message) -> None:
    problem = Problem("random", 5, 6, (1, 2))
    given = {"features": problem.features, "weight": problem.weight, "attention": problem.attention, "rates": (1, 2)}
    given |= change
    with pytest.raises(SettingError, match=message):
        blended_convolution(given.pop("features"), given.pop("weight"), problem.voxels, **given)
