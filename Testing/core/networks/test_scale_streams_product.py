"""A bundle of scale streams: it loads, segments a scan, and its files say which scale was used where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
import torch

from AutofocusCore.models import load_bundle, write_bundle
from AutofocusCore.result import rates_of
from AutofocusCore.segmentation import segment_image
from Testing.conftest import ImageWriter
from Testing.core.conftest import Autofocus
from Testing.core.networks.test_scale_streams import streams_network
from Testing.small_models import small_spec

ARCHITECTURE = {
    "architecture": "scale-streams", "in_channels": 1, "num_classes": 3, "encoder": "basic", "width": 4,
    "scales": [1.0, 0.5, 0.75], "dilations": [1, 2, 1], "norm": "branch",
}  # fmt: skip


@pytest.fixture(scope="module")
def streams_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {name: value for name, value in ARCHITECTURE.items() if name != "architecture"}
    network = streams_network(**options, narrow=False)
    spec = small_spec(name="tiny-streams", architecture=ARCHITECTURE, spacing=(1.0, 1.0, 1.0))
    folder = tmp_path_factory.mktemp("models") / "tiny-streams"
    return write_bundle(folder, spec, network.state_dict(), "MIT License")


def test_the_bundle_loads_with_the_weights_that_were_written(streams_model: Path) -> None:
    network = load_bundle(streams_model).build()
    expected = streams_network(**{k: v for k, v in ARCHITECTURE.items() if k != "architecture"}, narrow=False)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in network.state_dict().items())
    assert not network.training


def test_a_scan_is_segmented_with_the_scales_and_the_recalibration_on_the_models_grid(
    streams_model: Path, write_random_image: ImageWriter
) -> None:
    image = sitk.ReadImage(str(write_random_image(shape=(9, 10, 12), spacing=(1.0, 1.2, 1.5))))
    result = segment_image(load_bundle(streams_model), [image], device="cpu", precision="float32", attention="all")
    assert result.labels.GetSize() == image.GetSize()
    attention = result.attention[0]
    assert attention.rates == (1, 2, 1.333333)
    np.testing.assert_allclose(attention.weights.sum(axis=0), 1.0, atol=1e-5)
    effective = attention.effective_dilation_mm()
    assert effective.min() >= 1.0 - 1e-5
    assert effective.max() <= 2.0 + 1e-5
    assert result.recalibration is not None
    assert result.recalibration.factors.shape == (3, *attention.weights.shape[1:])
    assert result.recalibration.grid == attention.grid


def test_the_command_writes_the_maps_and_the_recalibration_as_sequences(
    streams_model: Path, write_random_image: ImageWriter, autofocus_here: Autofocus, tmp_path: Path
) -> None:
    image = write_random_image(shape=(8, 9, 10))
    done = autofocus_here(
        "segment", image, "-m", streams_model, "-o", "out.seg.nrrd", "--attention", "maps", "--device", "cpu"
    )
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["out_attention-1.seq.nrrd", "out_dilation-1.nrrd", "out_reach.nrrd", "out_recalibration.seq.nrrd"]
    weights = slicerio.read_volume(str(tmp_path / "maps" / names[0]))
    assert rates_of(" ".join(weights["sequence"]["indexValues"])) == (1, 2, 1.333333)
    factors = slicerio.read_volume(str(tmp_path / "maps" / names[3]))
    assert factors["sequence"]["indexName"] == "class"
    assert list(factors["sequence"]["indexValues"]) == ["0", "1", "2"]
    assert factors["voxels"].shape == weights["voxels"].shape
    assert 0 <= factors["voxels"].min() < factors["voxels"].max() <= 1
    told = json.loads(autofocus_here("models", "info", streams_model, "--json").stdout)
    assert "scale-streams" in json.dumps(told)
