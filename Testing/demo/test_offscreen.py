"""Where nothing can be drawn, one sentence says why and what to do, and VTK is never asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = "from Demo.offscreen import why_not; print(why_not() or 'fine')"
ROOT = Path(__file__).resolve().parents[2]


def ask(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def hidden_egl(tmp_path: Path) -> Path:
    """A folder that, first in the loader's path, hides EGL behind a file that is no library."""
    if not sys.platform.startswith("linux"):
        pytest.skip("EGL is used on Linux only.")
    (tmp_path / "libEGL.so.1").write_bytes(b"")
    return tmp_path


@pytest.mark.usefixtures("drawing")
def test_a_machine_that_can_draw_is_told_so() -> None:
    assert ask() == "fine"


@pytest.mark.usefixtures("drawing")
def test_missing_egl_is_explained_with_the_packages_to_install(hidden_egl: Path) -> None:
    said = ask(LD_LIBRARY_PATH=str(hidden_egl), VTK_DEFAULT_OPENGL_WINDOW="vtkEGLRenderWindow")
    assert "EGL" in said
    assert "apt-get install libegl1 libegl-mesa0" in said
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("drawing")
def test_a_driver_that_fails_is_reported_not_crashed_into(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("Mesa's variables mean nothing here.")
    said = ask(
        VTK_DEFAULT_OPENGL_WINDOW="vtkEGLRenderWindow",
        LIBGL_DRIVERS_PATH=str(tmp_path),
        __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path),
    )
    assert said.startswith("A test picture could not be drawn")
    assert "libegl-mesa0" in said


def test_missing_slicer_core_is_explained(tmp_path: Path) -> None:
    blocked = (
        "import sys; sys.modules['slicer'] = None; import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'slicer' else find(name, *more); " + ASK
    )
    done = subprocess.run([sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert "slicer-core is not installed" in done.stdout, done.stderr
    assert "slicer-host" in done.stdout
