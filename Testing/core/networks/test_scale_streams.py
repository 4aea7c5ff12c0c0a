"""The second system: shapes, identities, the loss, gradients, and that it learns, in two and in three dimensions."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import AutofocusCore
from AutofocusCore.errors import SettingError
from AutofocusCore.networks.scale_streams import VARIANTS, ScaleStreams, scale_streams_loss
from AutofocusCore.networks.scale_streams.dimensions import finish
from Testing.core.small_networks import narrow_streams


def streams_network(
    *, seed: int = 0, in_channels: int = 1, num_classes: int = 3, narrow: bool = True, **options: Any
) -> ScaleStreams:
    """A network in evaluation mode whose norms, attention and recalibration all matter to its output."""
    with narrow_streams() if narrow else nullcontext(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AutofocusCore.build_network(
            "scale-streams", in_channels=in_channels, num_classes=num_classes, **options
        )
        assert isinstance(network, ScaleStreams)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.normal_(module.running_mean, 0.0, 0.3)
    return network.eval()


PATHWAY = {"encoder": "basic"}


@pytest.mark.parametrize(
    ("options", "size", "margin"),
    [
        ({"encoder": "vgg16"}, (37, 50), 0),
        ({"encoder": "resnet34"}, (37, 50), 0),
        ({"encoder": "resnet34", "pyramid_bins": (1, 2, 3, 6)}, (33, 48), 0),
        ({"encoder": "resnet34", "spatial_dims": 3}, (9, 17, 16), 0),
        ({"encoder": "basic"}, (59, 61, 60), 28),
        ({"encoder": "afn-2", "dilation_rates": (2, 4)}, (57, 60, 58), 28),
        ({"encoder": "basic", "scales": (1.0, (1.0, 0.5, 0.5))}, (57, 60, 58), 28),
        ({"encoder": "basic", "scales": (1.0, 0.75, 0.5)}, (60, 57, 61), 28),
        ({"encoder": "basic", "resolution": 1, "scales": (1.0,)}, (31, 29, 30), 14),
        ({"encoder": "vgg16", "scales": (1.0, 0.75, 0.5), "resolution": 8}, (40, 33), 0),
    ],
)
@torch.inference_mode()
def test_any_size_of_image_gives_that_size_less_the_margins(
    options: dict[str, Any], size: tuple[int, ...], margin: int
) -> None:
    network = streams_network(in_channels=2, **options)
    x = torch.randn(2, 2, *size)
    wanted = tuple(length - 2 * margin for length in size)
    logits, attention = network.forward_with_attention(x)
    assert network.margin == margin
    assert logits.shape == (2, 3, *wanted)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(network(x), logits)
    count = len(network.settings.factors)
    assert len(attention) == network.autofocus_layers == (count > 1)
    for weights in attention:
        assert weights.shape == (2, count, *wanted)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, *wanted))
    fused, streams = network.forward_training(x)
    torch.testing.assert_close(fused, logits)
    assert [stream.shape for stream in streams] == count * [logits.shape]


@torch.inference_mode()
def test_equal_location_attention_and_unit_recalibration_reduce_to_the_average_of_the_streams() -> None:
    network = streams_network(encoder="resnet34", scales=(1.0, 0.5, 0.25))
    assert network.head is not None
    assert network.head.location is not None
    assert network.head.recalibration is not None
    for branch, bias in ((network.head.location[-1], 0.0), (network.head.recalibration[-1], 50.0)):
        nn.init.zeros_(branch.weight)
        nn.init.constant_(branch.bias, bias)
    fused, streams = network.forward_training(torch.randn(1, 1, 48, 32))
    torch.testing.assert_close(fused, torch.stack(streams).mean(dim=0))


@torch.inference_mode()
def test_the_prediction_is_the_sum_over_streams_of_attention_times_recalibrated_scores() -> None:
    network = streams_network(encoder="basic")
    maps = finish(network.steps(torch.randn(1, 1, 64, 62, 60)))
    assert maps.location is not None
    assert maps.recalibration is not None
    expected = sum(maps.location[:, s : s + 1] * (scores * maps.recalibration) for s, scores in enumerate(maps.streams))
    torch.testing.assert_close(maps.fused, expected)
    assert 0 < maps.recalibration.min() < maps.recalibration.max() < 1
    assert maps.location.std() > 0.01


@torch.inference_mode()
def test_one_stream_without_recalibration_is_the_encoder_and_its_classifier() -> None:
    network = streams_network(encoder="vgg16", **VARIANTS["single-scale"])
    x = torch.randn(1, 1, 40, 32)
    scores = network.classifier(network.encoder(x)[-1])
    merged = functional.interpolate(scores, size=(10, 8), mode="bilinear")
    torch.testing.assert_close(network(x), functional.interpolate(merged, size=(40, 32), mode="bilinear"))


@torch.inference_mode()
def test_merging_by_average_by_maximum_and_additive_recalibration_do_what_they_say() -> None:
    scores = [torch.randn(1, 3, 4, 4) for _ in range(2)]
    recalibration = torch.rand(1, 3, 4, 4)
    options = {"encoder": "resnet34"}
    average, largest = (streams_network(**options, **VARIANTS[name]) for name in ("average", "max"))
    additive = streams_network(**options, recalibration="additive", merge="average")
    torch.testing.assert_close(average.merge(scores, None, None), (scores[0] + scores[1]) / 2)
    torch.testing.assert_close(largest.merge(scores, None, None), torch.maximum(*scores))
    expected = (scores[0] + scores[1]) / 2 + recalibration
    torch.testing.assert_close(additive.merge(scores, None, recalibration), expected)


@torch.inference_mode()
def test_the_small_stream_sees_the_image_at_half_its_size() -> None:
    """With the same weights, its scores are those of the single-scale network on the halved image."""
    whole = streams_network(encoder="resnet34")
    single = streams_network(encoder="resnet34", **VARIANTS["single-scale"])
    single.load_state_dict(whole.state_dict(), strict=False)
    x = torch.randn(1, 1, 64, 48)
    halved = functional.interpolate(x, scale_factor=0.5, mode="bilinear")
    small = finish(whole.steps(x)).streams[1]
    alone = single.classifier(single.encoder(halved)[-1])
    torch.testing.assert_close(small, functional.interpolate(alone, size=small.shape[2:], mode="bilinear"))


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ({"encoder": "resnet34", "width": 16}, 1e-5),
        # Resizing by 0.75 reads between voxels. In float32 those places are rounded, the more so the farther from the
        # image's start, so that a part that starts elsewhere differs (in double precision it does not). Against double
        # precision, this network's whole result is off by 1.8e-5.
        ({"encoder": "vgg16", "width": 16, "scales": (0.75, 1.0)}, 3e-5),
        ({"encoder": "resnet34", "width": 16, "resolution": 8, "dilations": ()}, 1e-5),
    ],
)
@torch.inference_mode()
def test_a_part_that_is_cut_at_the_alignment_with_the_halo_around_gives_the_very_values(
    options: dict[str, Any], bound: float
) -> None:
    """Also where convolutions are padded with zeros, strided or far-sighted, and poolings overlap."""
    network = streams_network(**options)
    halo, alignment = network.geometry.halo, network.geometry.alignment
    assert halo is not None
    assert halo % alignment == 0
    length = 2 * halo + 3 * alignment + 5
    x = torch.randn(1, 1, 16, length)
    whole = network(x)
    scale = whole.abs().max()
    left = network(x[..., : halo + 2 * alignment])
    assert (left[..., : 2 * alignment] - whole[..., : 2 * alignment]).abs().max() <= bound * scale
    right = network(x[..., 2 * alignment :])  # to the image's own end, which is no multiple of the alignment
    start = halo + 2 * alignment
    assert (right[..., halo:] - whole[..., start:]).abs().max() <= bound * scale
    elsewhere = network(x[..., 1:])
    assert (elsewhere[..., halo:] - whole[..., halo + 1 :]).abs().max() > 1e-3 * scale


@torch.inference_mode()
def test_a_stream_of_the_valid_encoder_sees_the_padded_volume_around_its_place() -> None:
    """At scale 1 its scores are those of the encoder on the volume with the encoder's own margin alone."""
    network = streams_network(encoder="basic")
    x = torch.randn(1, 1, 64, 60, 62)
    beyond = network.margin - network.encoder.margin
    inner = x[:, :, beyond:-beyond, beyond:-beyond, beyond:-beyond]
    torch.testing.assert_close(finish(network.steps(x)).streams[0], network.classifier(network.encoder(inner)[-1]))


def test_the_large_rate_is_on_the_small_stream_and_may_be_turned_round() -> None:
    for options, rates in (({}, [2, 6]), ({"dilations": (6, 2)}, [6, 2]), ({"scales": (0.5, 1.0)}, [6, 2])):
        network = streams_network(encoder="resnet34", **options)
        assert network.head is not None
        assert [embedding[0].dilation[0] for embedding in network.head.embeddings] == rates
        with torch.inference_mode():
            assert network(torch.randn(1, 1, 32, 32)).shape == (1, 3, 32, 32)


def test_the_loss_has_a_term_for_the_prediction_and_one_for_each_stream() -> None:
    torch.manual_seed(0)
    fused, *streams = (torch.randn(2, 4, 5, 6) for _ in range(4))
    labels = torch.randint(0, 4, (2, 5, 6))
    labels[0, 0] = 255

    def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
        return functional.cross_entropy(logits, truth, ignore_index=255)

    expected = sum(float(loss_of(logits, labels)) for logits in (fused, *streams))
    assert float(scale_streams_loss(fused, streams, labels, loss_of)) == pytest.approx(expected)
    calls: list[Tensor] = []
    network = streams_network(encoder="resnet34", scales=(1.0, 0.5, 0.25))
    network.training_loss(
        lambda logits, truth: calls.append(logits) or logits.sum() * 0, torch.randn(1, 1, 32, 32), labels[:1]
    )
    assert len(calls) == 4


@pytest.mark.parametrize("options", [{"encoder": "resnet34"}, {"encoder": "basic"}])
def test_gradients_reach_every_weight(options: dict[str, Any]) -> None:
    network = streams_network(**options).train()
    edge = 2 * network.margin + 16
    images = torch.randn(2, 1, *[edge] * network.spatial_dims)
    labels = torch.randint(0, 3, (2, *[16] * network.spatial_dims))
    network.training_loss(functional.cross_entropy, images, labels).backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A bias before a BatchNorm has no effect, and so no gradient but by rounding.
    assert [name for name in without if not name.endswith("conv.bias")] == []


def test_the_streams_alone_teach_the_encoder_too() -> None:
    network = streams_network(encoder="resnet34")
    _, streams = network.forward_training(torch.randn(1, 1, 32, 32))
    for scores in streams:
        network.zero_grad()
        scores.square().mean().backward(retain_graph=True)
        assert network.head is not None
        assert all(weight.grad is None for weight in network.head.parameters())
        assert next(network.encoder.parameters()).grad.abs().sum() > 0  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "size", "steps"),
    [({"encoder": "resnet34", "width": 16}, (48, 48), 22), ({"encoder": "basic", "width": 8}, (8, 8, 8), 16)],
)
def test_it_learns_one_image_by_heart(options: dict[str, Any], size: tuple[int, ...], steps: int) -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("scale-streams", in_channels=1, num_classes=2, **options).train()
    assert isinstance(network, ScaleStreams)
    labels = torch.zeros(1, *size, dtype=torch.long)
    labels[(slice(None), *(slice(length // 4, 3 * length // 4) for length in size))] = 1
    clean = labels[:, None].float()
    image = functional.pad(clean, 2 * len(size) * [network.margin]) + 0.1 * torch.randn(
        1, 1, *(length + 2 * network.margin for length in size)
    )
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = network.training_loss(functional.cross_entropy, image, labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]
    with torch.inference_mode():
        found = network(image).argmax(dim=1)
    overlap = 2 * (found & labels).sum() / (found.sum() + labels.sum())
    assert overlap > 0.85


def test_an_image_that_does_not_fit_is_refused_in_one_sentence() -> None:
    flat, solid = streams_network(encoder="resnet34"), streams_network(encoder="basic")
    with pytest.raises(SettingError, match=r"takes \(B, 1, H, W\)"):
        flat(torch.zeros(1, 3, 32, 32))
    with pytest.raises(SettingError, match="28 voxels"):
        solid(torch.zeros(1, 1, 56, 60, 60))
