"""What the overlay is called, and where it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.models import Normalization, find_model
from AutofocusCore.phantom import make_phantom
from Demo.attention import Layer, find_reach, inside_body, reach_limits, words_for

SPEC = find_model("pelvis-phantom").spec


def test_an_autofocus_layer_is_named_by_its_number_and_a_network_of_scale_streams_by_what_it_shows() -> None:
    layer = Layer(2, Path("layer.nrrd"), (2.0, 6.0))
    assert words_for(layer, 4, SPEC) == ("Effective dilation, autofocus layer 2 of 4", "Effective dilation (mm)")
    architecture = {"architecture": "scale-streams", "in_channels": 1, "num_classes": len(SPEC.structures) + 1}
    streams = replace(SPEC, architecture=architecture, roi="none")
    name, legend = words_for(layer, 1, streams)
    assert "location attention" in name
    assert "scale" in legend


def test_air_is_left_out_only_where_the_model_looks_for_the_patient(tmp_path: Path) -> None:
    scan, _ = make_phantom(0)
    path = tmp_path / "scan.nrrd"
    sitk.WriteImage(scan, str(path))
    inside = inside_body(path, path, SPEC)
    assert inside is not None
    assert inside.shape == sitk.GetArrayViewFromImage(scan).shape
    assert not inside[:, 0, 0].any()
    assert 0.1 < np.mean(inside) < 0.9
    box = {**SPEC.architecture, "domain": "box"}
    whole = replace(SPEC, normalization=Normalization("z-score", "all"), architecture=box, roi="none")
    assert inside_body(path, path, whole) is None


def test_the_reach_is_found_among_the_written_files_with_its_limits(tmp_path: Path) -> None:
    written = [tmp_path / f"segmentation_{name}.nrrd" for name in ("dilation-1", "reach", "dilation-2")]
    assert find_reach(written) == written[1]
    assert find_reach(written[:1]) is None
    layers = [Layer(1, written[0], (2.0, 6.0, 14.0)), Layer(2, written[2], (3.0, 9.0))]
    assert reach_limits(layers) == (5.0, 23.0)
