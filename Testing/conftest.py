"""Fixtures that every test may use: the reference data, the released models' fixtures and small made-up images."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_timeout
from hypothesis import settings

from Testing import fork_server
from Testing.waiting import patience

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """One thread in each process of `pytest -n`, otherwise at most four: the tests' volumes are too small for more."""
    # The same examples in every run, and no time limit for one example, because test machines are often busy.
    settings.register_profile("house", deadline=None, derandomize=True, database=None)
    settings.load_profile("house")
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        return  # this process only distributes the tests, and need not load the libraries
    import SimpleITK as sitk
    import torch

    threads = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(4, torch.get_num_threads())
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if threads == 1:  # also in processes that the tests start
        os.environ |= {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    # Mesa's software renderer and triton (loaded by optimizers of a torch for GPUs) each contain LLVM. If triton's is
    # loaded after Mesa's, the process crashes; loaded before, both work.
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Any:
    """A test may take longer than its timeout by as much as the computer has more to do than processors."""
    return pytest_timeout.pytest_timeout_set_timer(item, settings._replace(timeout=patience(settings.timeout)))


@pytest.fixture(scope="session", autouse=True)
def models_of_the_user_stay_untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty model folder for the tests and the processes that they start; the user's models are not touched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOFOCUS_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes that this process starts have torch loaded already (fork_server.py)."""

    def popen(command: list[str], *, start_new_session: bool = False, **options: Any) -> Any:
        return fork_server.start(command, **options)

    client = importlib.import_module("AutofocusCore.worker.client")
    if fork_server.POSSIBLE:
        monkeypatch.setattr(client, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": popen}))


def _outside_folder(variable: str, default: Path, what: str) -> Path:
    """The folder in the environment variable, or the default beside the checkout; skips the test if there is none."""
    folder = Path(os.environ.get(variable) or default)
    if not folder.is_dir():
        pytest.skip(f"{what} are not at {folder}; set {variable} to the folder that holds them.")
    return folder


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of real volumes: hippocampus, ct_openkbp_hn, ct_totalsegmentator, brain_tcga_lgg, odd_geometry."""
    return _outside_folder("AUTOFOCUS_TEST_DATA", ROOT.parent / "shared" / "data", "The reference volumes")


@pytest.fixture(scope="session")
def fixtures_released() -> Path:
    """Folder of checkpoints in the authors' format, with inputs, outputs and attention maps as .npz."""
    default = ROOT.parent / "shared" / "fixtures" / "released"
    return _outside_folder("AUTOFOCUS_TEST_FIXTURES", default, "The fixtures of the released models")


ImageWriter = Callable[..., Path]


@pytest.fixture
def write_random_image(tmp_path: Path) -> ImageWriter:
    """A function that writes a small image of noise (seeded) and returns its path.

    Arguments: ``name`` (the ending chooses the format), ``shape`` (z, y, x), ``spacing`` mm, ``origin`` mm (x, y, z),
    ``direction`` (nine cosines, row by row), ``seed``.
    """

    def write(
        name: str = "image.nii.gz",
        shape: tuple[int, int, int] = (12, 14, 16),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
        direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
        seed: int = 0,
    ) -> Path:
        import numpy as np
        import SimpleITK as sitk

        values = np.random.default_rng(seed).normal(100.0, 20.0, shape).astype(np.float32)
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(direction)
        path = tmp_path / name
        sitk.WriteImage(image, str(path))
        return path

    return write
