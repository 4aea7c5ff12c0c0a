"""AutofocusBatch.py as a process, as users start it, in a Python with slicer-core; the scenes that it leaves."""

from __future__ import annotations

import csv
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.models import Channel
from AutofocusCore.phantom import make_phantom
from Testing.extension.test_packaging import read_cmake
from Testing.module.conftest import ROOT, SceneMaker
from Testing.small_models import write_coarse_pelvis
from Testing.waiting import alive, environment_of, wait_until

SCRIPT = ROOT / "AutofocusSegmentation" / "Scripts" / "AutofocusBatch.py"
MODEL = ("--model", "coarse-pelvis", "--device", "cpu", "--precision", "float32")
NAMES = ["Prostate", "Seminal vesicles", "Bladder", "Rectum", "Left femur", "Right femur"]
Batch = Callable[..., "subprocess.CompletedProcess[str]"]


def environment() -> dict[str, str]:
    """Few threads, UTF-8, and no help in finding our packages."""
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


@pytest.fixture(scope="module", autouse=True)
def coarse_model(models_of_the_user_stay_untouched: None) -> Iterator[None]:
    """A model among the user's own that needs little time."""
    folder = write_coarse_pelvis(Path(os.environ["AUTOFOCUS_MODELS"]) / "coarse-pelvis")
    yield
    shutil.rmtree(folder)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """Run the script in the test's folder."""

    def run(*arguments: object, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8", timeout=240, check=False
        )

    return run


@pytest.fixture
def batch_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, forked_workers: None
) -> Batch:
    """Run what the script runs in this process, without the application; workers are processes all the same."""
    from AutofocusSegmentationLib.batch import command, scene

    monkeypatch.chdir(tmp_path)
    for module in (command, scene):  # another test of this process may have installed the stand-in for the application
        monkeypatch.setattr(module, "running_application", lambda: None)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        try:
            status = command.run([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse's
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def phantom() -> sitk.Image:
    """A scan of the middle of a pelvis, coarse, and turned about the patient's axis."""
    image, _ = make_phantom(2018, size=(26, 20, 16), spacing=(9.0, 9.0, 9.0))
    angle = np.radians(12.0)
    image.SetDirection([np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1])
    return image


@pytest.fixture
def scans(tmp_path: Path, phantom: sitk.Image) -> Path:
    """A folder of two scans."""
    folder = tmp_path / "scans"
    folder.mkdir()
    sitk.WriteImage(phantom, str(folder / "Anna B.nrrd"))
    sitk.WriteImage(phantom + 5, str(folder / "Zoë.nrrd"))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def opened(path: Path, folder: Path) -> SceneMaker:
    """The scene in an `.mrb`, opened as Slicer would."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    scene = SceneMaker()
    scene.mrml.SetURL(str(next(folder.rglob("*.mrml"))))
    assert scene.mrml.Import()
    return scene


def test_a_folder_becomes_segmentations_scenes_and_a_table_and_goes_on_where_it_stopped(
    batch: Batch, batch_here: Batch, scans: Path, tmp_path: Path, phantom: sitk.Image
) -> None:
    command = ("--", "--input", scans, "--output", "out", *MODEL, "--attention", "--mrb")
    out = tmp_path / "out"
    first = batch(*command)
    assert first.returncode == 0, first.stderr
    assert "Traceback" not in first.stderr
    assert "ERR|" not in first.stderr  # VTK's way to complain
    assert [(row["case"], row["status"]) for row in rows(out / "results.csv")] == [("Anna B", "done"), ("Zoë", "done")]
    assert [(row["case"], row["status"]) for row in rows(out / "scenes.csv")] == [
        ("Anna B", "written"), ("Zoë", "written")
    ]  # fmt: skip
    assert not list(out.rglob(".autofocus-part*"))

    scene = opened(out / "Anna B.mrb", tmp_path / "opened")
    check_scene(scene, out / "Anna B.seg.nrrd", phantom)

    # Nothing is left to do; then a scene is lost, and a case has another scan.
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.mrb")}
    assert len(written) == 2
    second = batch_here(*command)
    assert second.returncode == 0, second.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.mrb")} == written
    (out / "Anna B.mrb").unlink()
    sitk.WriteImage(phantom + 7, str(scans / "Zoë.nrrd"))
    third = batch_here(*command)
    assert third.returncode == 0, third.stderr
    assert "Zoë: was done before from other images; done again." in third.stderr
    assert [row["status"] for row in rows(out / "scenes.csv")] == ["written", "written"]
    again = opened(out / "Zoë.mrb", tmp_path / "opened again")
    values = sitk.GetArrayViewFromImage(phantom) + 7
    np.testing.assert_array_equal(voxels(again.node("Zoë")), values)


def check_scene(scene: SceneMaker, segmentation: Path, scan: sitk.Image) -> None:
    """Volume, segments with codes, attention and provenance, at their places, and shown."""
    from AutofocusSegmentationLib.scene.attention_set import AttentionSet
    from AutofocusSegmentationLib.scene.placing import RAS_TO_LPS, as_array, hierarchy_of
    from AutofocusSegmentationLib.scene.provenance_node import provenance_of
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    volume = scene.node("Anna B")
    np.testing.assert_array_equal(voxels(volume), sitk.GetArrayViewFromImage(scan))
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    index = (3, 5, 7)
    np.testing.assert_allclose(
        (RAS_TO_LPS @ as_array(matrix) @ [*index, 1])[:3], scan.TransformIndexToPhysicalPoint(index), atol=1e-3
    )

    node = scene.mrml.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    segments = node.GetSegmentation()
    found = [segments.GetNthSegment(i) for i in range(segments.GetNumberOfSegments())]
    assert [segment.GetName() for segment in found] == NAMES
    assert all("SCT^123037004^" in segment.GetTerminology() for segment in found)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(segmentation)))
    counts = {segment.GetName(): int((labels == segment.GetLabelValue()).sum()) for segment in found}
    assert sum(count > 0 for count in counts.values()) >= 3
    from AutofocusSegmentationLib.scene.segmentation_node import volumes_ml

    millilitres = {segments.GetSegment(key).GetName(): value for key, value in volumes_ml(node).items()}
    assert millilitres == pytest.approx({name: count * 9.0**3 / 1000 for name, count in counts.items()}, rel=1e-4)

    attention = AttentionSet.find(scene.mrml, node)
    assert attention is not None
    assert attention.reference is volume
    assert attention.reach is not None
    assert attention.layers[0].rates == (2, 6, 10, 14)
    assert len(attention.layers[0].rate_volumes()) == 4
    record = provenance_of(node)
    assert record is not None
    assert record["model"]["name"] == "coarse-pelvis"

    hierarchy = hierarchy_of(scene.mrml)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(one)) for one in (volume, node)}
    assert len(parents) == 1
    views = {scene.mrml.GetNthNodeByClass(i, "vtkMRMLSliceCompositeNode") for i in range(3)}
    assert {view.GetLayoutName() for view in views} == {"Red", "Yellow", "Green"}
    assert {view.GetBackgroundVolumeID() for view in views} == {volume.GetID()}


def test_the_batch_of_the_readme_works_with_what_slicer_and_pytorch_bring(scans: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("slicerio", "nrrd", "psutil", "safetensors", "nibabel", "pydicom", "rich", "tqdm", "pandas", "monai"):
        (absent / f"{name}.py").write_text(f"raise ImportError('Slicer does not bring {name}')")
    (scans / "Zoë.nrrd").unlink()
    command = [sys.executable, str(SCRIPT), "--input", str(scans), "--output", "out", *MODEL, "--attention"]
    run = subprocess.run(
        command, cwd=tmp_path, env={**environment(), "PYTHONPATH": str(absent)}, capture_output=True, encoding="utf-8",
        timeout=240, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert [row["status"] for row in rows(tmp_path / "out" / "results.csv")] == ["done"]
    names = {path.name for path in (tmp_path / "out").rglob("*.nrrd")}
    assert {"Anna B.seg.nrrd"} <= names
    assert any(name.endswith("_reach.nrrd") for name in names)


def voxels(node: object) -> np.ndarray:
    """Voxels of a volume node, (z, y, x)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()  # type: ignore[attr-defined]
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def test_what_fails_is_named_and_does_not_keep_the_rest_from_being_done(
    batch_here: Batch, scans: Path, tmp_path: Path
) -> None:
    (scans / "broken.nrrd").write_text("not an image", encoding="utf-8")
    (tmp_path / "out" / "Zoë.mrb").mkdir(parents=True)  # a folder, where a scene should go
    done = batch_here("--input", scans, "--output", "out", *MODEL, "--format", ".nii.gz", "--mrb")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    status = {row["case"]: row["status"] for row in rows(tmp_path / "out" / "results.csv")}
    assert status == {"Anna B": "done", "Zoë": "done", "broken": "failed"}
    assert [row["case"] for row in rows(tmp_path / "out" / "failures.csv")] == ["broken"]
    scenes = {row["case"]: row["status"] for row in rows(tmp_path / "out" / "scenes.csv")}
    assert scenes == {"Anna B": "written", "Zoë": "failed"}
    assert rows(tmp_path / "out" / "scenes.csv")[1]["remedy"]
    scene = opened(tmp_path / "out" / "Anna B.mrb", tmp_path / "opened")  # the labels came from NIfTI
    assert scene.mrml.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation().GetNumberOfSegments() == 6


def test_it_runs_from_an_installed_extension_on_the_engine_beside_it(scans: Path, tmp_path: Path) -> None:
    installed = tmp_path / "qt-scripted-modules"
    read_cmake(tmp_path, installed=installed)
    code = f"""
import runpy, sys
sys.argv = ["AutofocusBatch.py", "--input", {str(scans)!r}, "--output", "out", *{MODEL!r}, "--quiet"]
try:
    runpy.run_path({str(installed / "Scripts" / "AutofocusBatch.py")!r}, run_name="__main__")
finally:
    import AutofocusCore, AutofocusSegmentationLib
    print(AutofocusCore.__file__, AutofocusSegmentationLib.__file__, sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8",
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path in done.stdout.split("\n")[:2]:
        assert Path(path).is_relative_to(installed)
    assert [row["status"] for row in rows(tmp_path / "out" / "results.csv")] == ["done", "done"]


IN_THE_APPLICATION = """
import sys
from types import SimpleNamespace
sys.path.insert(0, {root!r})
from Testing.SlicerHost import install_host
host = install_host(main_window=False)
type(host.app).commandOptions = lambda self: SimpleNamespace(runPythonAndExit=False)
from PySide6.QtCore import QTimer

def execute():  # as qSlicerCoreApplication does when its event loop has begun
    sys.argv = [{script!r}, *{arguments!r}]
    names = sys.modules["__main__"].__dict__
    names["__file__"] = {script!r}
    exec(open({script!r}).read(), names)

QTimer.singleShot(0, execute)
status = host.app.exec()
print("the event loop is over", flush=True)
sys.exit(status)
"""


@pytest.mark.skipif(importlib.util.find_spec("PySide6") is None, reason="The stand-in for the application needs Qt.")
@pytest.mark.parametrize(("arguments", "status"), [
    (("--output", "out"), 2),
    (("--input", "scans", "--output", "out", "--model", "nothing"), 1),
    (("--input", "scans", "--output", "out", *MODEL, "--mrb"), 0),
])  # fmt: skip
def test_the_application_that_executes_the_script_ends_with_its_status(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    code = IN_THE_APPLICATION.format(root=str(ROOT), script=str(SCRIPT), arguments=list(arguments))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8",
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert done.stdout.strip().endswith("the event loop is over")  # it was asked to end, not killed
    if status == 0:
        scene = opened(tmp_path / "out" / "Anna B.mrb", tmp_path / "opened")
        assert scene.mrml.GetFirstNodeByClass("vtkMRMLSegmentationNode").GetSegmentation().GetNumberOfSegments() == 6


def test_wrong_usage_is_2_and_help_is_0(batch: Batch, batch_here: Batch) -> None:
    assert batch("--input", "x").returncode == 2
    assert batch_here("--input", "x", "--output", "y", "--model", "z", "--workers", "0").returncode == 2
    helped = batch_here("--help")
    assert helped.returncode == 0
    assert "--mrb" in helped.stdout


def test_missing_files_and_models_are_one_sentence(batch_here: Batch, scans: Path) -> None:
    for arguments in (("--input", "nowhere", *MODEL), ("--input", scans, "--model", "nothing")):
        done = batch_here(*arguments, "--output", "out")
        assert done.returncode == 1
        assert done.stderr.startswith("AutofocusBatch: ")
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(("module", "options", "words"), [
    ("torch", (), ("PyTorch", "not installed", "pip install")),
    ("slicer", ("--mrb",), ("Scenes", "slicer-core", "--mrb")),
])  # fmt: skip
def test_what_is_not_installed_is_said_with_the_steps(
    tmp_path: Path, scans: Path, module: str, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    arguments = ["--input", str(scans), "--output", str(tmp_path / "out"), *MODEL, *options]
    code = f"""
import runpy, sys
sys.modules[{module!r}] = None  # as if it were not installed
sys.argv = ["AutofocusBatch.py", *{arguments!r}]
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_batch_in_which_nothing_happens_ends_and_takes_its_workers_along(
    batch: Batch, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARTED_BY", str(tmp_path))  # by which the processes of this test are known
    done = batch(
        "--input", scans, "--output", "out", *MODEL, "--idle-timeout", "0.003"
    )  # less than loading torch takes
    assert done.returncode == 1
    assert "Nothing has happened for 0.003 minutes" in done.stderr

    def started_here() -> list[psutil.Process]:
        return [one for one in psutil.process_iter() if environment_of(one).get("STARTED_BY") == str(tmp_path)]

    wait_until(lambda: not alive(started_here()))


def test_a_process_that_hangs_with_pythons_lock_held_is_ended_from_outside_of_python() -> None:
    code = f"""
import ctypes, sys
sys.path.insert(0, {str(ROOT / "AutofocusSegmentation")!r})
from AutofocusSegmentationLib.batch import exit as batch_exit
batch_exit.GRACE_SECONDS = 0.5
library = ctypes.PyDLL("kernel32" if sys.platform == "win32" else None)  # a PyDLL call keeps the lock
with batch_exit.Watchdog(0.5, print):
    library.Sleep(100_000_000) if sys.platform == "win32" else library.sleep(100_000)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "most recent call first" in done.stderr  # where it hung


def test_whatever_is_raised_at_the_start_becomes_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "module" / "Scripts" / "AutofocusBatch.py"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(SCRIPT.read_bytes())
    (tmp_path / "module" / "AutofocusSegmentationLib").mkdir()
    (tmp_path / "module" / "AutofocusSegmentationLib" / "__init__.py").write_text("raise OSError('damaged')")
    done = subprocess.run([sys.executable, str(damaged)], env=environment(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"damaged" in done.stderr


def write_dicom(folder: Path, *, number: int, modality: str = "CT", count: int = 3) -> None:
    """A series of slices 2 mm apart; its UID ends with its number and the folder's length."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    uid = f"1.2.826.0.1.3680043.2.1125.{number}.{len(str(folder))}"
    for index in range(count):
        image = sitk.GetImageFromArray(np.full((1, 8, 8), index, np.int16))
        tags = {
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL", "0008|0060": modality, "0020|0011": str(number),
            "0020|000e": uid, "0020|000d": f"{uid}.1", "0008|0018": f"{uid}.2.{index}", "0020|0013": str(index + 1),
            "0020|0032": f"0\\0\\{2 * index}", "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "2", "0010|0020": "P",
        }  # fmt: skip
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number}-{index}.dcm"))
        writer.Execute(image)


def test_every_series_in_a_tree_of_dicom_files_is_a_case(tmp_path: Path) -> None:
    from AutofocusSegmentationLib.batch.cases import read_cases

    source = tmp_path / "archive"
    write_dicom(source / "Anna" / "2020" / "CT", number=2)
    write_dicom(source / "Bert", number=1)
    write_dicom(source / "Bert", number=7)
    write_dicom(source / "Bert", number=8, count=1)
    write_dicom(source / "Carl", number=1, modality="MR")
    write_dicom(source / "results", number=1)
    cases = read_cases(source, [Channel("CT", "CT", ("*",))], leave_out=source / "results")
    assert [case.name for case in cases] == ["Anna_2020_CT", "Bert_1", "Bert_7"]
    assert [Path(case.images[0]).relative_to(source).as_posix() for case in cases] == ["Anna/2020/CT", "Bert", "Bert"]
    assert len({case.series for case in cases}) == 3
    single = read_cases(source / "Anna" / "2020" / "CT", [Channel("CT", "CT", ("*",))], leave_out=tmp_path / "out")
    assert [case.name for case in single] == ["CT"]
    with pytest.raises(InputError, match=r"no DICOM series of the modality PT.* CT, MR"):
        read_cases(source, [Channel("PET", "PT", ("*",))], leave_out=source / "results")


def test_the_script_leaves_slicers_names_alone() -> None:
    names = runpy.run_path(str(SCRIPT), run_name="not main")  # Slicer executes it among the names of its console
    ours = {"MODULE", "Path", "sys", "prepare_paths", "main", "leave"}
    assert {name for name in names if not name.startswith("_")} == ours
