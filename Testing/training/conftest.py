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
