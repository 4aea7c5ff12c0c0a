"""A small collection and an experiment on it: what the scripts of a whole run share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.core.small_networks import narrow_networks
from Training.configuration.config import load_config
from Training.prepare import main as prepare
from Training.preparing.found import safe_name
from Training.train import train

TINY = f'base = "{Path(__file__).with_name("tiny.toml").as_posix()}"\n'
BALLS = """
[model]
name = "balls"
spacing = [1.5, 1.0, 2.0]
structures = ["Bladder", "Prostate"]
architecture = {{ architecture = "{architecture}" }}
[data]
folder = "{folder}"
watch = 0
[segments]
size = [5, 5, 5]
per_step = 1
[run]
steps = 2
average = 0.5
"""

SCANS = """
[model]
structures = ["Bladder", "Prostate"]
architecture = {{ architecture = "afn-1", dilation_rates = [2, 3], norm = "fused", domain = "roi" }}
normalization = {{ method = "window", mask = "all", window = [0.0, 300.0] }}
channels = [{{ name = "T1", modality = "MR" }}]
[data]
source = "prepared"
folder = "{folder}"
watch = 1
watch_from = "test"
[scans]
ahead = 2
[augmentation]
flip = [2]
swap = [[1, 2]]
rotation = 10.0
elastic = 1.0
noise = 0.1
cut = 0.5
[optimizer]
name = "adamw"
clip = 1.0
schedule = "constant"
cool_down = 2
cycles = [5, 3]
[run]
steps = 8
average = 0.9
checkpoint_every = 3
watch_every = 4
"""


@pytest.fixture(autouse=True)
def narrow_on_balls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests on the small collection have networks of a third of the channels: they are about scripts, not results."""
    if "balls" not in request.fixturenames:
        yield
        return
    with narrow_networks():
        yield


@pytest.fixture
def narrow() -> Iterator[None]:
    """Networks of this test have a third of the channels."""
    with narrow_networks():
        yield


@pytest.fixture(scope="session")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven volumes laid out as the Decathlon does, two structures each; the last, a test case, has only one."""
    folder = tmp_path_factory.mktemp("balls")
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:10, :13, :12]
    for i in range(7):
        labels = ((z - 5) ** 2 + (y - 4) ** 2 + (x - 6) ** 2 < 9).astype(np.uint8)
        if i < 6:
            labels[(z - 5) ** 2 + (y - 9) ** 2 + (x - 5 - i % 2) ** 2 < 5] = 2
        image = sitk.GetImageFromArray((60.0 * labels + rng.normal(100, 4, labels.shape)).astype(np.float32))
        for part, one in (("imagesTr", image), ("labelsTr", sitk.GetImageFromArray(labels))):
            one.SetSpacing((1.5, 1.0, 2.0))
            (folder / part).mkdir(exist_ok=True)
            sitk.WriteImage(one, str(folder / part / f"ball_{i}.nii.gz"))
    split = {"train": [f"ball_{i}" for i in range(4)], "validation": [f"ball_{i}" for i in range(4, 7)]}
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def balls_config(tmp_path_factory: pytest.TempPathFactory, balls: Path) -> Path:
    """The experiment: AFN-1, two steps."""
    path = tmp_path_factory.mktemp("configs") / "afn-1.toml"
    path.write_text(TINY + BALLS.format(folder=balls.as_posix(), architecture="afn-1"), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def balls_run(tmp_path_factory: pytest.TempPathFactory, balls_config: Path) -> Path:
    """The run of it, with a narrow network that finds something."""
    with narrow_networks():
        return loud_run(balls_config, tmp_path_factory.mktemp("runs") / "balls")


def loud_run(config: Path, run: Path) -> Path:
    """The run of a configuration. Its weights are replaced by larger ones, so that the network finds something."""
    checkpoint = train(load_config(config), run)
    state = torch.load(checkpoint, weights_only=True)
    torch.manual_seed(3)
    for weight in state["average"].values():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    torch.save(state, checkpoint)
    return run


@pytest.fixture(scope="session")
def scans_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six volumes with two balls each, prepared; in the first, only the Bladder was contoured."""
    folder, out = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:12, :13, :14]
    for i in range(6):
        labels = ((z - 6) ** 2 + (y - 6) ** 2 + (x - 3) ** 2 < 8).astype(np.uint8)
        labels[(z - 6) ** 2 + (y - 6) ** 2 + (x - 10) ** 2 < 8] = 2
        image = (100.0 * (labels > 0) + rng.normal(100, 5, labels.shape)).astype(np.float32)
        for part, array in (("images", image), ("labels", labels)):
            (folder / part).mkdir(exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / part / f"{safe_name(f'ball_{i}')}.nii.gz"))
    names = [f"ball_{i}" for i in range(6)]
    (folder / "split.json").write_text(json.dumps({"train": names[:4], "validation": names[4:]}), encoding="utf-8")
    options = ["--images", "images/{case}", "--labels", "labels/{case}", "--channels", "T1"]
    options += ["--structures", "Bladder,Prostate", "--split", str(folder / "split.json")]
    assert prepare(["folder", str(folder), str(out), *options]) == 0
    (out / "contoured.json").write_text(json.dumps({"ball_0": ["Bladder"]}), encoding="utf-8")
    return out


@pytest.fixture
def scans_config(tmp_path: Path, scans_data: Path) -> Path:
    """The experiment on whole scans: AFN-1, eight steps."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY + SCANS.format(folder=scans_data.as_posix()), encoding="utf-8")
    return path
