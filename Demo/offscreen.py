"""Whether this machine can draw without a screen. Ask before VTK draws, because VTK crashes if it cannot.

On Linux the pictures are drawn through EGL, which needs neither a display nor a graphics card. VTK looks for EGL only
when it draws the first window, and ends the process if it is missing. Therefore the library is looked for beforehand,
and a small picture is drawn in a separate process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import sys

from AutofocusCore.errors import AutofocusError

WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
PROBE_SECONDS = 60


class DrawingError(AutofocusError):
    """Pictures cannot be drawn on this machine, and why."""

    code = "drawing"


def choose_window() -> None:
    """Make VTK draw through EGL on Linux, unless the user has chosen a window class. Call it before importing VTK."""
    if sys.platform.startswith("linux"):
        os.environ.setdefault(WINDOW_VARIABLE, "vtkEGLRenderWindow")


def why_not() -> DrawingError | None:
    """Why nothing can be drawn here, with the remedy; None if a test picture was drawn correctly."""
    if importlib.util.find_spec("slicer") is None or importlib.util.find_spec("vtkmodules") is None:
        return DrawingError(
            "The pictures are drawn by Slicer's own code, and the package slicer-core is not installed",
            f"install it with: {sys.executable} -m pip install 'autofocus-segmentation[slicer-host]'",
        )
    choose_window()
    if os.environ.get(WINDOW_VARIABLE) == "vtkEGLRenderWindow" and (missing := _missing_egl()):
        return DrawingError(
            f"The pictures are drawn through EGL, and {missing}",
            "install it with: apt-get install libegl1 libegl-mesa0 (Debian, Ubuntu), "
            "or dnf install mesa-libEGL mesa-dri-drivers (Fedora, Red Hat)",
        )
    return _probe()


def _missing_egl() -> str | None:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        return f"its library cannot be loaded ({error})"
    return None


def _probe() -> DrawingError | None:
    remedy = "install a driver that draws in software: apt-get install libegl-mesa0 libgl1-mesa-dri (Debian, Ubuntu)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return DrawingError(f"A test picture was not drawn within {PROBE_SECONDS} s", remedy)
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    reason = said[-1] if said else f"the process ended with status {done.returncode}"
    return DrawingError(f"A test picture could not be drawn ({reason})", remedy)


# Draws a red picture and reads it back. Another colour, or no picture, is a failure.
_PROBE = """
import sys
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window, renderer = vtkRenderWindow(), vtkRenderer()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
renderer.SetBackground(1, 0, 0)
window.AddRenderer(renderer)
window.Render()
pixels = vtkUnsignedCharArray()
window.GetRGBACharPixelData(0, 0, 15, 15, 1, pixels)
seen = tuple(int(pixels.GetComponent(100, i)) for i in range(3))
sys.exit(0 if seen == (255, 0, 0) else f"expected red, got {seen}")
"""
