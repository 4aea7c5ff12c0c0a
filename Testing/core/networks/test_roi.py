"""The ROI domain equals the dense network whose features are masked after every layer, in outputs and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from AutofocusCore.errors import SettingError
from AutofocusCore.networks import reference
from AutofocusCore.networks.build import ARCHITECTURES, build_network, count_parameters

SHAPE = (5, 7, 6)


def lively(architecture: str, *, seed: int = 0, **options: object) -> torch.nn.Module:
    """A network of the ROI domain whose weights and statistics are far from their initial values."""
    torch.manual_seed(seed)
    network = build_network(architecture, in_channels=2, num_classes=3, domain="roi", **options)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.normal_(module.weight, 0.0, (2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, 0.0, 0.3)
        elif isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.3)
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def random_mask(share: float, *, seed: int = 0, batch: int = 1) -> Tensor:
    return torch.rand((batch, *SHAPE), generator=torch.Generator().manual_seed(seed)) < share


MASKS = {
    "random": random_mask(0.4, batch=2),
    "whole": random_mask(2.0),
    "empty": random_mask(-1.0),
    "one voxel": torch.zeros(1, *SHAPE, dtype=torch.bool).index_fill(1, torch.tensor([0]), False),
}
MASKS["one voxel"][0, 3, 6, 0] = True


@pytest.mark.parametrize("norm", ["branch", "fused"])
@pytest.mark.parametrize("architecture", ["basic", "aspp-s", "aspp-c", "deepmedic", "afn-2", "afn-6"])
def test_active_voxels_alone_give_what_the_masked_dense_network_gives(architecture: str, norm: str) -> None:
    network = lively(architecture, norm=norm, dilation_rates=(1, 2, 4))
    mask = MASKS["random"]
    x = torch.randn(2, 2, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits, attention = network.forward_with_attention(x, mask)
        truth, true_attention = reference.forward_with_attention(network, x, mask)
    torch.testing.assert_close(logits, truth, atol=1e-4, rtol=1e-4)
    assert len(attention) == network.autofocus_layers
    for weights, true_weights in zip(attention, true_attention, strict=True):
        torch.testing.assert_close(weights, true_weights, atol=1e-4, rtol=1e-4)
        assert not weights.movedim(1, -1)[~mask].any()
    assert not logits.movedim(1, -1)[~mask].any()


@pytest.mark.parametrize("name", MASKS)
def test_any_mask_will_do(name: str) -> None:
    network, mask = lively("afn-4", norm="fused"), MASKS[name]
    x = torch.randn(len(mask), 2, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(x, mask), reference.forward(network, x, mask), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("architecture", "norm"), [("afn-4", "fused"), ("afn-2", "branch"), ("deepmedic", "branch")])
@pytest.mark.parametrize("detach", [True, False])
def test_training_has_the_gradients_and_the_statistics_of_the_masked_dense_network(
    architecture: str, norm: str, detach: bool
) -> None:
    network = lively(architecture, norm=norm, detach_attention=detach).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    twin = lively(architecture, norm=norm, detach_attention=detach).train()
    twin.load_state_dict(network.state_dict())
    for module in twin.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    network, twin = network.double(), twin.double()
    x = torch.randn(2, 2, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    weights = torch.randn(2, 3, *SHAPE, generator=torch.Generator().manual_seed(2)).double()
    mask, inputs = MASKS["random"], [x.clone().requires_grad_(), x.clone().requires_grad_()]
    (network(inputs[0], mask) * weights).sum().backward()
    (reference.forward(twin, inputs[1], mask) * weights).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=1e-4, rtol=1e-3)
    twins = dict(twin.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, twins[name].grad, atol=1e-4, rtol=1e-3, msg=name)
    for buffer, true in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(buffer, true, atol=1e-5, rtol=1e-5)


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    network, mask = lively("afn-6", norm="fused"), MASKS["random"]
    x = torch.randn(2, 2, *SHAPE)
    with torch.no_grad():
        together = network(x, mask)
        apart = torch.cat([network(x[i : i + 1], mask[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_move_between_the_domains(architecture: str) -> None:
    roi = build_network(architecture, in_channels=4, num_classes=5, domain="roi")
    box = build_network(architecture, in_channels=4, num_classes=5)
    box.load_state_dict(roi.state_dict())
    assert count_parameters(box) == count_parameters(roi)
    assert roi.margin == 0
    assert roi.options["domain"] == "roi"


def test_far_from_every_border_both_domains_agree() -> None:
    roi = lively("afn-2", norm="branch", dilation_rates=(1, 2)).double()
    box = build_network("afn-2", in_channels=2, num_classes=3, dilation_rates=(1, 2)).eval().double()
    box.load_state_dict(roi.state_dict())
    x = torch.randn(1, 2, 29, 29, 29).double()
    with torch.no_grad():
        inner = box(x)
        whole = roi(x)
    far = slice(14, 15)  # no layer's padding reaches these
    margin = box.margin
    near = slice(far.start - margin, far.stop - margin)
    torch.testing.assert_close(whole[:, :, far, far, far], inner[:, :, near, near, near], atol=1e-8, rtol=1e-8)


def test_what_a_mask_cannot_be_is_said() -> None:
    network = lively("basic")
    x = torch.randn(1, 2, *SHAPE)
    with pytest.raises(SettingError, match="float32"):
        network(x, MASKS["whole"].float())
    with pytest.raises(SettingError, match=r"\(1, 5, 7, 6\)"):
        network(x, MASKS["random"])
    with pytest.raises(SettingError, match="domain='roi'"):
        build_network("basic", in_channels=2, num_classes=3)(x, MASKS["whole"])
    with pytest.raises(SettingError, match="domain is 'sphere'"):
        build_network("basic", in_channels=2, num_classes=3, domain="sphere")
