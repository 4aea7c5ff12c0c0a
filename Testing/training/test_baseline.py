"""MONAI's DynUNet in the model's place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from AutofocusCore.errors import AutofocusError
from AutofocusCore.kernels import ActiveVoxels
from AutofocusCore.teaching.case import Case
from Training.configuration.config import load_config
from Training.evaluation.predicting import predicted_labels
from Training.loop import convolution
from Training.loop.baseline import DynUNetBaseline, network_of
from Training.loop.schedule import build_schedule
from Training.loop.step import Arithmetic
from Training.loop.tasks import ScanTask

CONFIG = Path(__file__).resolve().parents[2] / "Training" / "configs" / "head-neck-ct" / "dynunet.toml"


def test_rows_are_the_active_voxels_of_the_dense_answer_whatever_the_size_of_the_scan() -> None:
    torch.manual_seed(0)
    network = DynUNetBaseline(in_channels=1, num_classes=3, filters=(4, 6, 8)).eval()
    mask = torch.rand(1, 9, 10, 13) < 0.6
    x = torch.rand(1, 1, 9, 10, 13) * mask[:, None]
    voxels = ActiveVoxels.from_mask(mask)
    logits, attention = network.forward_rows(voxels.gather(x), voxels)
    assert attention == []
    assert torch.allclose(voxels.scatter(logits), network(x, mask), atol=1e-5)


def test_it_is_trained_as_the_model_that_it_is_compared_with() -> None:
    config, ours = load_config(CONFIG), load_config(CONFIG.with_name("afn-4.toml"))
    assert (config.data, config.augmentation, config.run.loss) == (ours.data, ours.augmentation, ours.run.loss)
    counts = [sum(p.numel() for p in network_of(one).parameters()) for one in (config, ours)]
    assert 1 < counts[0] / counts[1] < 2


def test_a_baseline_needs_scans() -> None:
    with pytest.raises(AutofocusError, match="baseline"):
        load_config(Path(__file__).with_name("segments.toml"), ["baseline.filters=[4, 6, 8]"])


def test_a_case_is_measured_on_the_device_that_the_computer_has() -> None:
    network = DynUNetBaseline(in_channels=1, num_classes=3, filters=(4, 6, 8)).eval()
    roi = np.ones((8, 9, 10), bool)
    roi[:2] = False
    case = Case("box", np.random.default_rng(0).random((1, *roi.shape), np.float32), roi.astype(np.uint8), roi, 0.0)
    labels = predicted_labels(network, case, device="auto")
    assert labels.shape == roi.shape
    assert not labels[:2].any()


def test_its_gradient_in_bfloat16_is_computed_by_the_kernels_that_are_right(
    scans_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own were infinite once in eight scans whose coarsest maps have two planes; which ones varies."""
    used: list[int] = []
    ours = convolution.weight_gradient
    monkeypatch.setattr(convolution, "weight_gradient", lambda *given: used.append(1) or ours(*given))
    config = load_config(scans_config, ["baseline.filters=[4, 6, 8]"])
    schedule = build_schedule(config.run, cases=1, batch=1)
    torch.manual_seed(0)
    labels = np.zeros((4, 12, 14), np.uint8)
    labels[1:3, 4:8, 4:8] = 1
    image = np.random.default_rng(0).random((1, *labels.shape), np.float32) + labels
    case = SimpleNamespace(case=Case("slab", image, labels, np.ones(labels.shape, bool), 0.0))
    network = network_of(config)
    found = []
    for precision in ("float32", "bfloat16"):
        task = ScanTask(config, network, [case], schedule, Arithmetic(precision, torch.device("cpu")))
        network.zero_grad()
        task.learn(task.outputs, 0, 1.0)
        task.close()
        found.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert used or not Arithmetic("bfloat16", torch.device("cpu")).low
    assert float((found[1] - found[0]).norm()) <= 0.1 * float(found[0].norm())
