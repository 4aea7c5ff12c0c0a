"""The review of networks of the ROI domain, by command line, batch and worker: it is that of the delivered result."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.labelling import keep_main_parts
from AutofocusCore.images.roi import RoiBox
from AutofocusCore.io.temporary import PrivateFolder
from AutofocusCore.models import Channel, Normalization, find_model, write_bundle
from AutofocusCore.networks.build import build_network
from AutofocusCore.review import Calibration, assess
from AutofocusCore.review.quality import FEATURES, QualityModel, StructureQuality
from AutofocusCore.segmentation import segment_image
from AutofocusCore.worker.handlers import RequestHandlers
from Testing.small_models import small_spec

NAMES = ("Anterior hippocampus", "Posterior hippocampus")
OWN = StructureQuality(20, (0.0,) * len(FEATURES), (1.0,) * len(FEATURES), (0.1,) * len(FEATURES), 1.0, 0.5)
QUALITY = QualityModel(FEATURES, -1.3, 1.3, 0.8, dict.fromkeys(NAMES, OWN))
BOX = (30.0, 24.0, 20.0, 130.0, 120.0, 140.0)
"""Region of interest in mm, LPS: it cuts the cylinder on all sides."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated bundle of the ROI domain that looks at the body alone; each structure is one connected piece."""
    options = {"norm": "fused", "domain": "roi", "dilation_rates": [1, 2]}
    spec = small_spec(
        channels=(Channel("CT", "CT", ("*",)),),
        architecture={"architecture": "afn-2", "in_channels": 1, "num_classes": 3, **options},
        normalization=Normalization("window", mask="body", window=(-200.0, 400.0)),
        roi="body",
        spacing=(6.0, 6.0, 6.0),
        calibration=Calibration(1.2, QUALITY, None, "20 made-up cases").to_dict(),
    )
    connected = tuple(dataclasses.replace(one, connected=True) for one in spec.structures)
    spec = dataclasses.replace(spec, structures=connected)
    torch.manual_seed(2)
    network = build_network(**spec.architecture).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return write_bundle(tmp_path_factory.mktemp("models") / "tiny-roi", spec, network.state_dict(), "MIT License")


def cylinder(seed: int = 0) -> sitk.Image:
    """A CT of 180 mm with a cylinder of uneven tissue, 100 mm wide, off the middle."""
    _, y, x = np.indices((30, 30, 30))
    inside = (y - 12) ** 2 + (x - 16) ** 2 < 8.5**2
    rng = np.random.default_rng(seed)
    values = np.where(inside, rng.normal(40, 60, inside.shape), rng.normal(-1000, 5, inside.shape))
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((6.0, 6.0, 6.0))
    return image


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    sitk.WriteImage(cylinder(), str(tmp_path / "ct.nii.gz"))
    return tmp_path / "ct.nii.gz"


def test_the_command_line_writes_estimates_places_map_and_report(
    scan: Path, model: Path, autofocus_here: Callable[..., Any], tmp_path: Path
) -> None:
    wanted = ["--review", "x.csv", "--uncertainty", "doubt.nrrd", "--report", "x.html", "--precision", "float32"]
    done = autofocus_here("segment", scan, "-m", model, "-o", "x.seg.nrrd", *wanted)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "20 made-up cases" in page
    assert "No estimate" not in page
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.seg.nrrd")))
    doubt = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "doubt.nrrd")))
    assert labels.any()
    air = sitk.GetArrayFromImage(cylinder()) < -900
    far = ~sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray((~air).astype(np.uint8)), (3, 3, 3))).astype(
        bool
    )
    assert doubt[far].max() < 1e-3, "in the air the network computes nothing, and doubts nothing"
    assert doubt[labels > 0].max() > 0.5
    assert (tmp_path / "x.csv").read_text(encoding="utf-8").count("\n") > 1


def test_within_a_region_nothing_is_said_of_what_lies_outside(
    scan: Path, model: Path, autofocus_here: Callable[..., Any], tmp_path: Path
) -> None:
    region = ["--roi", "LPS:" + ",".join(map(str, BOX))]
    wanted = ["--review", "x.csv", "--uncertainty", "doubt.nrrd", "--report", "x.html", "--precision", "float32"]
    done = autofocus_here("segment", scan, "-m", model, "-o", "x.seg.nrrd", *wanted, *region)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()))
    assert rows
    for row in rows:
        point = [float(row[f"{axis}_mm"]) for axis in "xyz"]
        assert np.all(np.asarray(point) >= BOX[:3]), row
        assert np.all(np.asarray(point) <= BOX[3:]), row
    image = sitk.ReadImage(str(tmp_path / "doubt.nrrd"))
    inside = RoiBox.between(BOX[:3], BOX[3:]).mask_on(Grid.of(image))
    doubt = sitk.GetArrayFromImage(image)
    assert doubt[~inside].max() < 1e-3
    assert doubt[inside].max() > 0.5
    assert "No estimate" in (tmp_path / "x.html").read_text(encoding="utf-8"), "the region cuts the structures"


def test_what_is_reviewed_is_what_is_delivered(model: Path) -> None:
    """Islands are removed and stray parts gone from labels and from the evidence alike."""
    loaded = find_model(str(model))
    result = segment_image(loaded, [cylinder()], evidence=True, precision="float32", smallest_island_mm3=50 * 6.0**3)
    evidence = result.evidence
    assert evidence is not None
    delivered = sitk.GetArrayFromImage(result.labels)
    assert np.array_equal(np.unique(evidence.delivered), np.unique(delivered))
    for label in (1, 2):
        counts = [int((labels == label).sum()) for labels in (evidence.delivered, delivered)]
        assert counts[0] == counts[1], "the model's grid holds every voxel of this scan's body"
    raw = evidence.probabilities.argmax(axis=0).astype(np.uint8)
    assert (raw != evidence.delivered).any(), "something was removed"
    keep_main_parts(raw, (1, 2), evidence.grid.spacing)
    found = assess(evidence, NAMES, Calibration(1.2, QUALITY, None))
    assert all(evidence.holds(place.position_mm) for place in found.places)


def test_the_worker_gives_estimates_and_the_map(scan: Path, model: Path, tmp_path: Path) -> None:
    handlers = RequestHandlers(PrivateFolder(tmp_path / "autofocus-x"))
    answer = handlers.segment(
        {"id": 1, "images": [str(scan)], "model": str(model), "uncertainty": True, "settings": {"precision": "float32"}}
    )
    assert set(answer["review"]["estimates"]) == set(NAMES)
    assert all(answer["review"]["estimates"].values())
    values = np.load(answer["uncertainty"]["path"])
    assert values.ndim == 3
    assert 0.5 < values.max() <= np.log2(3) + 1e-3
    assert np.shape(answer["uncertainty"]["index_to_lps"]) == (4, 4)
    assert answer["provenance"]["review"]["places"] == answer["review"]["places"]


def test_a_batch_reviews_every_case_and_sums_up(
    model: Path, autofocus_here: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "cohort").mkdir()
    for number in (1, 2):
        sitk.WriteImage(cylinder(number), str(tmp_path / "cohort" / f"p{number}.nii.gz"))
    options = ["--review", "--uncertainty", "--report", "--precision", "float32"]
    done = autofocus_here("batch", "cohort", "-m", model, "-o", "out", *options)
    assert done.returncode == 0, done.stderr
    names = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for ending in ("_uncertainty.nrrd", "_review.csv", "_report.html"):
        assert sum(name.endswith(ending) for name in names) == 2, names
    page = next((tmp_path / "out").rglob("summary.html")).read_text(encoding="utf-8")
    assert "p1" in page
    assert "p2" in page
    assert NAMES[0] in page
    assert not any(json.loads(path.read_text()).get("error") for path in (tmp_path / "out").glob("*.json"))
