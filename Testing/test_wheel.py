"""The built package: all files of the core are in it, with the version and the command (`make check`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import AutofocusCore
from AutofocusCore.kernels.library import SUFFIX, VARIABLE, usable_sets
from Testing.test_house import CORE, ROOT, repository_files

pytestmark = pytest.mark.wheel


def build(folder: Path, *options: str, **environment: str) -> tuple[zipfile.ZipFile, str]:
    """The package as `pip install` would have it, built from a clean copy; and what pip said."""
    copy = folder / "copy"
    shutil.copytree(CORE, copy / "AutofocusCore", ignore=shutil.ignore_patterns("__pycache__", "_native.*"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "out", *options, "."]
    done = subprocess.run(
        command, cwd=copy, capture_output=True, encoding="utf-8", check=False, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next((copy / "out").glob("*.whl"))), done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return build(tmp_path_factory.mktemp("wheel"))[0]


def kernel_found_in(wheel: zipfile.ZipFile, folder: Path) -> str:
    """What native_kernel() says where the wheel is installed and nothing else of the project is, nor a compiler."""
    wheel.extractall(folder)
    code = "from AutofocusCore.kernels import native_kernel; print(native_kernel())"
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {"PYTHONPATH": str(folder), "PATH": "", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, encoding="utf-8", check=True, env=environment
    )
    return done.stdout.strip()


def test_the_wheel_brings_the_native_kernel_for_every_version_of_python(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    if not usable_sets():
        pytest.skip("There is no compiler here, or `make kernel` has not run.")
    assert f"AutofocusCore/kernels/_native{SUFFIX}" in wheel.namelist()
    assert "-py3-none-" in Path(str(wheel.filename)).name
    assert kernel_found_in(wheel, tmp_path) == next(iter(usable_sets()))


@pytest.mark.skipif(sys.platform == "win32", reason="MSVC is not found through the variable CC.")
def test_without_a_compiler_the_package_installs_and_says_that_pytorch_computes(tmp_path: Path) -> None:
    wheel, said = build(tmp_path, "--verbose", CC=str(tmp_path / "no-compiler"))
    assert not [name for name in wheel.namelist() if Path(name).name.startswith("_native")]
    assert "The native kernel was not built" in said
    assert "install a C compiler" in said
    assert kernel_found_in(wheel, tmp_path / "installed") == "None"


def test_every_file_of_the_core_ships_and_beside_them_the_kernel_alone(wheel: zipfile.ZipFile) -> None:
    here = {str(path.relative_to(ROOT).as_posix()) for path in repository_files() if path.is_relative_to(CORE)}
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped >= here
    assert shipped - here <= {f"AutofocusCore/kernels/_native{SUFFIX}"}  # MSVC makes an import library too


def test_the_package_has_the_version_of_its_code(wheel: zipfile.ZipFile) -> None:
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert Parser().parsestr(wheel.read(metadata).decode())["Version"] == AutofocusCore.__version__


def test_the_package_brings_the_console_command(wheel: zipfile.ZipFile) -> None:
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "autofocus = AutofocusCore.cli:main" in wheel.read(entry_points).decode()
