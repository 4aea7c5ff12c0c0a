"""One step: gradients of parts of a batch add up to those of the whole; a loss that is no number leaves none."""

from __future__ import annotations

import torch

import AutofocusCore
from AutofocusCore.networks.scale_streams import scale_streams_loss
from Training.loop.losses import build_loss
from Training.loop.step import Arithmetic, add_gradients
from Training.loop.supervision import DeepSupervisionOutputs


def test_the_gradients_of_accumulated_batches_are_the_mean_of_theirs() -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("afn-1", in_channels=1, num_classes=3, dilation_rates=[2, 3]).eval()
    images, labels = torch.randn(4, 1, 32, 32, 32), torch.randint(0, 3, (4, 4, 4, 4))
    loss_of, arithmetic = build_loss("cross-entropy"), Arithmetic("float32", torch.device("cpu"))
    whole = add_gradients(network, images, labels, loss_of, arithmetic)
    expected = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    parts = [add_gradients(network, images[i : i + 2], labels[i : i + 2], loss_of, arithmetic, 0.5) for i in (0, 2)]
    torch.testing.assert_close(sum(parts) / 2, whole)
    for name, parameter in network.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-7, rtol=1e-3)


def test_a_loss_that_is_no_number_adds_no_gradient() -> None:
    network = AutofocusCore.build_network("basic", in_channels=1, num_classes=2)
    images, labels = torch.full((1, 1, 31, 31, 31), float("nan")), torch.zeros(1, 3, 3, 3, dtype=torch.long)
    loss = add_gradients(network, images, labels, build_loss("both"), Arithmetic("float32", torch.device("cpu")))
    assert torch.isnan(loss)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_every_stream_of_scale_streams_answers_for_the_labels_beside_the_prediction() -> None:
    torch.manual_seed(0)
    network = AutofocusCore.build_network("scale-streams", in_channels=1, num_classes=3, encoder="basic").eval()
    size = [n + 2 * network.margin for n in (4, 4, 4)]
    images, labels = torch.randn(1, 1, *size), torch.randint(0, 3, (1, 4, 4, 4))
    loss_of, arithmetic = build_loss("cross-entropy"), Arithmetic("float32", torch.device("cpu"))
    found = add_gradients(DeepSupervisionOutputs(network), images, labels, loss_of, arithmetic)
    fused, streams = network.forward_training(images)
    assert len(streams) == 2
    torch.testing.assert_close(found, scale_streams_loss(fused, streams, labels, loss_of))
