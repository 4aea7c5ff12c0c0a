"""The built package: all files of the core are in it, with the version and the command (`make check`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest

import AutofocusCore
from Testing.test_house import CORE, ROOT, repository_files

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as `pip install` would have it, built from a copy so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("wheel")
    shutil.copytree(CORE, copy / "AutofocusCore", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "out", "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next((copy / "out").glob("*.whl")))


def test_every_file_of_the_core_ships(wheel: zipfile.ZipFile) -> None:
    here = {str(path.relative_to(ROOT).as_posix()) for path in repository_files() if path.is_relative_to(CORE)}
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped >= here
    assert {name.split("/")[0] for name in shipped} == {"AutofocusCore"}


def test_the_package_has_the_version_of_its_code(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert Parser().parsestr(wheel.read(metadata).decode())["Version"] == AutofocusCore.__version__


def test_the_package_brings_the_console_command(wheel: zipfile.ZipFile) -> None:
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "autofocus = AutofocusCore.cli:main" in wheel.read(entry_points).decode()
