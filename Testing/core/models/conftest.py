"""A small real model, as a description, as weights, as a bundle on disk and as a zip; and a private model folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import AutofocusCore
from AutofocusCore.models import Channel, ModelSpec, Normalization, export_zip, load_bundle, write_bundle
from AutofocusCore.models.terminology import structures
from Testing.small_models import small_spec

ARCHITECTURE = {"architecture": "afn-1", "in_channels": 1, "num_classes": 3, "dilation_rates": [2, 6]}
LICENCE = "MIT License\n\nCopyright (c) the authors of this test\n"


def make_spec(**changes: object) -> ModelSpec:
    """A description with something in every field."""
    fields: dict[str, object] = {
        "name": "test-model",
        "title": "Prostate and bladder",
        "version": "1.2.0",
        "channels": (Channel("CT", "CT", ("*ct*",)),),
        "structures": structures("Prostate", "Bladder"),
        "normalization": Normalization("z-score", mask="body", percentiles=(5, 95), sigmas=(2, 3)),
        "architecture": ARCHITECTURE,
        "spacing": (1.0, 1.5, 3.0),
        "orientation": "LPS",
        "dice": {"Prostate": 0.91, "Bladder": 0.95},
        "figures": {"seed": 3, "cases": [{"case": "a", "Prostate": 0.9}, {"case": "b", "Prostate": 0.92}]},
        "training_command": "python Training/train.py Training/configs/test.toml",
        "references": ("Qin et al., Autofocus Layer for Semantic Segmentation, MICCAI 2018",),
    }
    return small_spec(**{**fields, **changes})


@pytest.fixture(scope="session")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return AutofocusCore.build_network(**ARCHITECTURE).eval()


@pytest.fixture(scope="session")
def _pristine(tmp_path_factory: pytest.TempPathFactory, network: torch.nn.Module) -> Path:
    return write_bundle(tmp_path_factory.mktemp("pristine") / "test-model", make_spec(), network.state_dict(), LICENCE)


@pytest.fixture
def bundle(_pristine: Path, tmp_path: Path) -> Path:
    """A sound bundle that the test may spoil."""
    return Path(shutil.copytree(_pristine, tmp_path / "source" / "test-model"))


@pytest.fixture
def archive(bundle: Path) -> Path:
    """The same bundle as a zip."""
    return export_zip(load_bundle(bundle), bundle.parent / "test-model.zip")


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder of this test's own; the bundled models are out of sight."""
    folder = tmp_path / "user models"
    monkeypatch.setenv("AUTOFOCUS_MODELS", str(folder))
    for module in ("store", "remove"):
        monkeypatch.setattr(f"AutofocusCore.models.{module}.bundled_model_folder", lambda: tmp_path / "bundled")
    return folder


@pytest.fixture
def reseal() -> Callable[[Path], None]:
    """Write checksums that fit what is in a bundle now, as somebody would who changed it on purpose."""

    def seal(folder: Path) -> None:
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "checksums.json"]
        sums = {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
        text = json.dumps({"algorithm": "sha256", "files": sums})
        (folder / "checksums.json").write_text(text, encoding="utf-8")

    return seal


@pytest.fixture
def rezip(archive: Path) -> Callable[..., Path]:
    """Copy the sound archive, with further entries: (name or ZipInfo, data) pairs."""

    def add(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
        target = archive.with_name("spoiled.zip")
        shutil.copyfile(archive, target)
        with zipfile.ZipFile(target, "a") as zipped:
            for name, data in entries:
                zipped.writestr(name, data)
        return target

    return add
