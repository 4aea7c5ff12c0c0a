"""The sample data: registered once, with pictures, and made without a network."""

from __future__ import annotations

import socket
import struct
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

pytest.importorskip("slicer", reason="The scene needs slicer-core.")

from Testing.module.conftest import SceneMaker  # which makes the module's folder known

# isort: split
from AutofocusSegmentationLib.panel.sample_data import CATEGORY, SAMPLES, add_sample, register_sample_data

from Demo.demo import PHANTOM_SEED


class SampleDataLogic:
    """Stands for SampleData.SampleDataLogic: the registry, whose functions are static, with Slicer 5.10's arguments."""

    sources: dict[str, list[types.SimpleNamespace]]

    @staticmethod
    def registerCustomSampleDataSource(  # noqa: N802
        category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
        thumbnailFileName=None, loadFileType=None, loadFiles=None, loadFileProperties=None, checksums=None,
    ) -> None:  # fmt: skip
        assert isinstance(uris, str)  # the real one counts them
        source = types.SimpleNamespace(**locals())
        SampleDataLogic.sources.setdefault(category, []).append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str) -> list[types.SimpleNamespace]:  # noqa: N802
        return SampleDataLogic.sources.get(category, [])


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[types.SimpleNamespace]:
    """What the module Sample Data knows of us, after two calls."""
    SampleDataLogic.sources = {}
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    register_sample_data()
    register_sample_data()
    return SampleDataLogic.sources[CATEGORY]


def test_every_sample_is_registered_once_says_that_it_is_synthetic_and_has_a_picture(
    registered: list[types.SimpleNamespace],
) -> None:
    assert [source.sampleName for source in registered] == [sample.title for sample in SAMPLES]
    assert {sample.seed for sample in SAMPLES} == {PHANTOM_SEED}  # no model has seen it
    for source in registered:
        assert "synthetic" in source.sampleName
        start = Path(source.thumbnailFileName).read_bytes()[:24]
        assert struct.unpack(">II", start[16:24]) == (260, 280)


def test_a_sample_is_made_without_a_network_and_says_that_it_shows_no_real_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: Any) -> NoReturn:
        raise AssertionError("A socket was opened.")

    monkeypatch.setattr(socket, "socket", refuse)
    scene = SceneMaker()
    good, noisy = (add_sample(scene.mrml, sample) for sample in SAMPLES)
    assert good.GetName() == SAMPLES[0].name
    assert "shows no real person" in good.GetDescription()
    arrays = [voxels(node) for node in (good, noisy)]
    assert arrays[0].shape == (100, 168, 216)
    assert good.GetSpacing() == pytest.approx((2.0, 2.0, 2.4))
    assert arrays[0].min() < -900  # air
    assert arrays[0].max() > 300  # bone
    # It is one patient in both, and the low dose is noisier: the difference is noise, larger than the good scan's.
    inside = arrays[0] > -200
    difference = (arrays[1] - arrays[0].astype(np.float32))[inside]
    assert abs(difference.mean()) < 5
    assert difference.std() > 15


def voxels(node: Any) -> np.ndarray:
    """Voxels of a volume node, (z, y, x)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def test_an_address_is_opened_as_slicers_download_sample_does_it(
    registered: list[types.SimpleNamespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request

    import SimpleITK as sitk
    from AutofocusSegmentationLib.panel import sample_data

    monkeypatch.setattr(sample_data, "SIZE", (30, 24, 16))
    monkeypatch.setattr(sample_data, "SPACING", (14.0, 14.0, 14.0))
    for source in registered:
        path = tmp_path / source.fileNames
        urllib.request.urlretrieve(source.uris, str(path))
        assert sitk.ReadImage(str(path)).GetSize() == (30, 24, 16)
    with pytest.raises(OSError, match="no sample"):
        urllib.request.urlopen("phantom:Nobody")
    count = sum(isinstance(one, sample_data.PhantomOpener) for one in urllib.request._opener.handlers)
    assert count == 1, "a second registration adds nothing"
