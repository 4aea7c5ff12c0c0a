"""Results as files: read back by SimpleITK, pynrrd, slicerio and Slicer's own readers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import Staging, discard_all, stem_of, suffix_of, write_text
from AutofocusCore.io.outputs import check_format, check_writable
from AutofocusCore.io.results import write_attention, write_probabilities, write_segmentation
from AutofocusCore.io.slicer_nrrd import read_keys, segments_of
from AutofocusCore.io.temporary import remove_leftovers
from AutofocusCore.jobs.measure import measure, volumes_ml, write_statistics
from AutofocusCore.models import Code, Structure
from Testing import fork_server

ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
STRUCTURES = (
    Structure(1, "prostate", (230, 158, 140), ANATOMY, Code("SCT", "41216001", "Prostate")),
    Structure(2, "Fémur gauche 左", (255, 238, 170), ANATOMY, Code("SCT", "71341001", "Femur"),
              modifier=Code("SCT", "7771000", "Left")),
    Structure(3, "lesion", (10, 20, 30), Code("SCT", "49755003", "Morphologically Altered Structure"),
              Code("SCT", "4147007", "Mass"), region=Code("SCT", "41216001", "Prostate")),
)  # fmt: skip
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
ROTATED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def labels() -> sitk.Image:
    voxels = np.zeros((5, 6, 7), np.uint8)
    voxels[1:3, 2:4, 1:5] = 1
    voxels[3, 4, :] = 2
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-11.5, 20.25, 300.0))
    image.SetDirection(OBLIQUE)
    return image


ROOT = Path(__file__).resolve().parents[3]


def parts_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if "autofocus-part" in path.name]


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha"])
def test_every_format_keeps_voxels_and_geometry(tmp_path: Path, labels: sitk.Image, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    written = write_segmentation(path, labels, STRUCTURES, provenance={"model": "Prüfling"})
    back = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(labels))
    for part in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(back, part)(), getattr(labels, part)(), atol=1e-5)
    assert all(path.is_file() for path in written)
    assert not parts_in(tmp_path)
    if suffix != ".seg.nrrd":
        sidecar = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
        assert [entry["name"] for entry in sidecar["structures"]] == [s.name for s in STRUCTURES]
        assert sidecar["provenance"] == {"model": "Prüfling"}


def test_seg_nrrd_binds_names_colours_and_codes_to_label_values(tmp_path: Path, labels: sitk.Image) -> None:
    write_segmentation(tmp_path / "out.seg.nrrd", labels, STRUCTURES, provenance={"model": "x"})
    back = slicerio.read_segmentation(str(tmp_path / "out.seg.nrrd"))
    names = [s.name.encode("ascii", "ignore").decode().strip() for s in STRUCTURES]  # all that pynrrd reads of a header
    assert [(s["id"], s["labelValue"], s["name"]) for s in back["segments"]] == [
        (f"Segment_{s.label}", s.label, name) for s, name in zip(STRUCTURES, names, strict=True)
    ]
    np.testing.assert_allclose(back["segments"][0]["color"], np.array(STRUCTURES[0].color) / 255, atol=1e-5)
    femur, lesion = back["segments"][1]["terminology"], back["segments"][2]["terminology"]
    assert femur["type"] == ["SCT", "71341001", "Femur"]
    assert femur["typeModifier"] == ["SCT", "7771000", "Left"]
    assert lesion["anatomicRegion"] == ["SCT", "41216001", "Prostate"]
    assert json.loads(back["AutofocusSegmentation"]) == {"model": "x"}


@dataclass(frozen=True)
class Grid:
    spacing: tuple[float, float, float] = (1.0, 1.5, 3.0)
    origin: tuple[float, float, float] = (5.0, -6.0, 7.0)
    direction: tuple[float, ...] = ROTATED


@dataclass(frozen=True)
class Attention:
    weights: np.ndarray
    rates: tuple[int, ...] = (2, 6, 10, 14)
    grid: Grid = Grid()

    def effective_dilation_mm(self) -> np.ndarray:
        return np.tensordot(np.array(self.rates, np.float32), self.weights, 1) * 1.5


@pytest.fixture
def attention() -> Attention:
    weights = np.random.default_rng(0).random((4, 3, 4, 5), dtype=np.float32)
    return Attention(weights / weights.sum(0))


def test_attention_reads_back_as_rate_z_y_x(tmp_path: Path, attention: Attention) -> None:
    names = write_attention(tmp_path, "ct", {0: attention, 2: attention}, provenance={"model": "x"})
    assert [path.name for path in names] == [
        "ct_attention-1.seq.nrrd", "ct_dilation-1.nrrd", "ct_attention-3.seq.nrrd", "ct_dilation-3.nrrd",
    ]  # fmt: skip
    weights, header = nrrd.read(str(names[0]), index_order="C")
    assert np.array_equal(weights, attention.weights)
    assert header["kinds"] == ["domain", "domain", "domain", "list"]
    assert header["axis 3 index values"] == "2 6 10 14"
    dilation = sitk.ReadImage(str(names[1]))
    np.testing.assert_allclose(sitk.GetArrayFromImage(dilation), attention.effective_dilation_mm(), rtol=1e-6)
    np.testing.assert_allclose(dilation.GetDirection(), ROTATED, atol=1e-6)
    assert dilation.GetSpacing() == pytest.approx(attention.grid.spacing)


SLICER_READS = """
import json, sys
import slicer, vtk
from vtk.util.numpy_support import vtk_to_numpy
scene = slicer.vtkMRMLScene()
segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
storage = slicer.vtkMRMLSegmentationStorageNode()
scene.AddNode(storage)
storage.SetFileName(sys.argv[1])
assert storage.ReadData(segmentation)
segments = []
for i in range(segmentation.GetSegmentation().GetNumberOfSegments()):
    segment = segmentation.GetSegmentation().GetNthSegment(i)
    terminology = vtk.reference("")
    segment.GetTag("TerminologyEntry", terminology)
    segments.append({
        "terminology": str(terminology),
        "id": segmentation.GetSegmentation().GetNthSegmentID(i), "name": segment.GetName(),
        "value": segment.GetLabelValue(), "color": segment.GetColor(),
    })
sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
storage = slicer.vtkMRMLVolumeSequenceStorageNode()
scene.AddNode(storage)
storage.SetFileName(sys.argv[2])
assert storage.ReadData(sequence)
volumes = [sequence.GetNthDataNode(i) for i in range(sequence.GetNumberOfDataNodes())]
print(json.dumps({
    "segments": segments,
    "index": [sequence.GetIndexName()] + [sequence.GetNthIndexValue(i) for i in range(len(volumes))],
    "volumes": [vtk_to_numpy(v.GetImageData().GetPointData().GetScalars()).tolist() for v in volumes],
    "spacing": volumes[0].GetSpacing(), "origin": volumes[0].GetOrigin(),
}))
"""


def test_slicer_reads_segmentation_and_attention(tmp_path: Path, labels: sitk.Image, attention: Attention) -> None:
    pytest.importorskip("slicer_core", reason="The extra [slicer-host] is not installed.")
    write_segmentation(tmp_path / "out.seg.nrrd", labels, STRUCTURES, provenance={"model": "x"})
    weights = write_attention(tmp_path, "out", {0: attention})[0]
    command = [sys.executable, "-c", SLICER_READS, str(tmp_path / "out.seg.nrrd"), str(weights)]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    seen = json.loads(run.stdout.strip().splitlines()[-1])
    assert [(s["id"], s["name"], s["value"]) for s in seen["segments"]] == [
        (f"Segment_{s.label}", s.name, s.label) for s in STRUCTURES
    ]
    assert "~SCT^71341001^Femur~SCT^7771000^Left~" in seen["segments"][1]["terminology"]
    np.testing.assert_allclose(seen["segments"][0]["color"], np.array(STRUCTURES[0].color) / 255, atol=1e-5)
    assert seen["index"] == ["dilation rate", "2", "6", "10", "14"]
    np.testing.assert_array_equal(np.array(seen["volumes"], np.float32).reshape(4, 3, 4, 5), attention.weights)
    assert seen["spacing"] == pytest.approx([1.0, 1.5, 3.0])
    assert seen["origin"] == pytest.approx([-5.0, 6.0, 7.0])  # RAS there, LPS here


def test_probabilities_keep_one_component_per_class(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((3, 4, 5, 3), np.float32), isVector=True)
    back = sitk.ReadImage(str(write_probabilities(tmp_path / "p.nrrd", image, provenance={"model": "x"})))
    assert back.GetNumberOfComponentsPerPixel() == 3
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image))


def test_statistics_give_volumes_in_millilitres(tmp_path: Path, labels: sitk.Image) -> None:
    image = sitk.Cast(labels, sitk.sitkFloat32) * 10.0
    first, second, third = measure(labels, STRUCTURES, image)
    assert (first.voxels, second.voxels, third.voxels) == (16, 7, 0)
    assert first.volume_ml == pytest.approx(16 * 0.7 * 0.9 * 2.5 / 1000)
    assert (first.mean_intensity, second.mean_intensity, third.mean_intensity) == (10.0, 20.0, None)
    assert volumes_ml(labels, STRUCTURES)["lesion"] == 0.0
    write_statistics(tmp_path / "stats.csv", [first, second, third])
    lines = (tmp_path / "stats.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "structure,label,voxels,volume_ml,mean_intensity,std_intensity"
    assert lines[1] == "prostate,1,16,0.0252,10.0000,0.0000"
    assert lines[3] == "lesion,3,0,0.0000,,"


def test_unknown_extensions_are_refused_with_those_that_would_do() -> None:
    with pytest.raises(OutputError, match=r"out\.stl has \.stl.*use \.seg\.nrrd, .* or \.mha"):
        check_format("out.stl", (".seg.nrrd", ".nii.gz", ".mha"), "The segmentation")
    assert suffix_of("a.b/Case.1.Seg.NRRD") == ".seg.nrrd"
    assert stem_of("a.b/Case.1.Seg.NRRD") == "Case.1"


def test_outputs_that_cannot_be_written_are_found_before_computing(tmp_path: Path) -> None:
    scan = tmp_path / "ct.nii.gz"
    scan.write_bytes(b"x")
    check_writable([tmp_path / "a.nrrd", tmp_path / "b.csv"], [scan])
    for paths, sentence in (
        ([tmp_path / "none" / "a.nrrd"], "none does not exist; make it"),
        ([scan], "is also an input"),
        ([tmp_path / "a.nrrd", tmp_path / "." / "a.nrrd"], "Two outputs have the same name"),
        ([tmp_path], "is a folder"),
    ):
        with pytest.raises(OutputError, match=sentence):
            check_writable(paths, [scan])
    if Path("/proc/self").exists():  # a folder that even root may not write to
        with pytest.raises(OutputError, match="Cannot write /proc/"):
            check_writable(["/proc/a.nrrd"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct.nii.gz"]


def test_a_failure_leaves_neither_file_nor_part_nor_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Staging() as staging:  # noqa: PT012
        folder = staging.folder(tmp_path / "new" / "attention")
        staging.aside(tmp_path / "a.csv").write_text("half", encoding="utf-8")
        staging.aside(folder / "b.csv").write_text("half", encoding="utf-8")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from AutofocusCore.io.atomic import Staging
Staging().aside(sys.argv[1]).write_text("half")
os._exit(9)
"""


def test_parts_of_a_killed_process_are_removed_by_the_next_that_writes_there(tmp_path: Path) -> None:
    staging = Staging()
    staging.aside(tmp_path / "a.seg.nrrd").write_text("half", encoding="utf-8")
    discard_all()
    assert not parts_in(tmp_path)
    (tmp_path / "below").mkdir()
    for folder in (tmp_path / "below", tmp_path):
        command = [sys.executable, "-c", KILLED, str(folder / "a.seg.nrrd")]
        assert fork_server.run(command, cwd=ROOT, env=dict(os.environ)).returncode == 9
    staging.aside(tmp_path / "a.seg.nrrd").write_text("half", encoding="utf-8")  # of a process that lives
    assert len(parts_in(tmp_path)) == 3
    write_text(tmp_path / "other.txt", "whole")
    assert len(parts_in(tmp_path)) == 2  # that, and the one below, of whoever writes there
    assert remove_leftovers(tmp_path / "below") == 1
    discard_all()
    assert not parts_in(tmp_path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk
from AutofocusCore.errors import OutputError
from AutofocusCore.models import Code, Structure
from AutofocusCore.io.results import write_segmentation
noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (40, 64, 64)).astype(np.uint8))
structure = Structure(1, "a", (1, 2, 3), Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "41216001", "P"))
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
for suffix in (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha"):
    try:
        write_segmentation(Path(sys.argv[1]) / f"out{suffix}", noise, [structure])
    except OutputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file.")
def test_a_full_disk_is_a_sentence_in_every_format(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    run = fork_server.run(command, cwd=ROOT, env=dict(os.environ))
    sentences = run.stdout.strip().splitlines()
    assert len(sentences) == 5, run.stderr
    for sentence in sentences:
        assert re.search(r"Cannot write .*/out\..*: .*too large; free space there or choose another place\.", sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["slicerio", "nrrd"])
def test_what_slicers_python_lacks_is_not_needed(
    tmp_path: Path, labels: sitk.Image, attention: Attention, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert write_segmentation(tmp_path / "out.seg.nrrd", labels, STRUCTURES)[0].is_file()
    assert len(write_attention(tmp_path, "out", {0: attention})) == 2


def test_the_segments_of_a_file_are_read_back_with_names_beyond_ascii(tmp_path: Path, labels: sitk.Image) -> None:
    write_segmentation(tmp_path / "out.seg.nrrd", labels, STRUCTURES, provenance={"model": "Prüfling", "path": "a\\b"})
    keys = read_keys(tmp_path / "out.seg.nrrd")
    found = segments_of(keys)
    assert [(one["label"], one["name"]) for one in found] == [(one.label, one.name) for one in STRUCTURES]
    for one, structure in zip(found, STRUCTURES, strict=True):
        np.testing.assert_allclose(one["color"], np.array(structure.color) / 255, atol=1e-5)
        for name in ("category", "type", "modifier", "region", "region_modifier"):
            code = getattr(structure, name)
            assert one["codes"].get(name) == (None if code is None else (code.scheme, code.value, code.meaning))
    assert json.loads(keys["AutofocusSegmentation"]) == {"model": "Prüfling", "path": "a\\b"}
