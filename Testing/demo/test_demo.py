"""The whole demo as a process: a scan and a model in, segmentation, attention, scene and pictures out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import AutofocusCore
from AutofocusCore.models import Channel, Normalization, write_bundle
from AutofocusCore.models.terminology import structures
from Demo.demo import main
from Testing.small_models import small_spec

from .conftest import NAMES, Case

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = {"architecture": "afn-1", "in_channels": 1, "num_classes": 7, "dilation_rates": [2, 6], "norm": "fused"}


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt nothing: what it finds is nonsense, but it finds it quickly."""
    torch.manual_seed(0)
    spec = small_spec(
        name="untrained",
        title="Pelvis",
        channels=(Channel("CT", "CT", ("*ct*",)),),
        structures=structures(*NAMES),
        normalization=Normalization("window", mask="body", window=(-200, 300)),
        architecture=ARCHITECTURE,
        spacing=(6.0, 6.0, 6.0),
        orientation="LPS",
    )
    network = AutofocusCore.build_network(**ARCHITECTURE)
    for module in network.modules():  # louder than the paper's initialisation, so that classes differ
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.kaiming_normal_(module.weight)
    return write_bundle(tmp_path_factory.mktemp("models") / "untrained", spec, network.state_dict(), "MIT")


def demo(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "Demo.demo", *map(str, words)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.usefixtures("drawing")
def test_the_users_scan_becomes_segmentation_attention_scene_and_pictures(
    case: Case, untrained: Path, tmp_path: Path
) -> None:
    output = tmp_path / "my results"
    (output / "attention").mkdir(parents=True)
    (output / "attention" / "segmentation_dilation-9.nrrd").write_text("of an earlier run", encoding="utf-8")
    done = demo("--input", case.scan, "--model", untrained, "--output", output, "--truth", case.segmentation)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in output.iterdir()} == {
        "scan.nrrd", "segmentation.seg.nrrd", "attention", "volumes.csv", "scene.mrb",
        "sheet.png", "segments.png", "attention.png", "surfaces.png",
    }  # fmt: skip
    assert "Dice" in done.stdout
    assert "on cpu" in done.stdout or "on cuda" in done.stdout
    for name in NAMES:
        assert name in done.stdout
    assert "sheet.png" in done.stdout


@pytest.mark.usefixtures("drawing")
def test_without_egl_the_segmentation_is_there_and_the_rest_is_explained(
    case: Case, untrained: Path, tmp_path: Path
) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("EGL is used on Linux only.")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "libEGL.so.1").write_bytes(b"")
    output = tmp_path / "output"
    output.mkdir()
    (output / "sheet.png").write_text("of an earlier run", encoding="utf-8")
    done = demo(
        "--input", case.scan, "--model", untrained, "--output", output,
        LD_LIBRARY_PATH=str(hidden), VTK_DEFAULT_OPENGL_WINDOW="vtkEGLRenderWindow",
    )  # fmt: skip
    assert done.returncode == 1
    assert (output / "segmentation.seg.nrrd").is_file()
    assert not list(output.glob("*.png"))
    assert "apt-get install libegl1 libegl-mesa0" in done.stderr


def test_an_input_without_a_model_is_wrong_usage(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--input", str(case.scan), "--output", str(tmp_path / "output")]) == 2
    assert "MODEL=" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_an_unknown_model_is_named_in_one_sentence(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--input", str(case.scan), "--model", "no-such-model", "--output", str(tmp_path / "output")]) == 1
    said = capsys.readouterr().err
    assert "no-such-model" in said
    assert "Traceback" not in said
