"""Reads files with ITK in another process, which a hostile file may crash: see `AutofocusCore.io.native_reader`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from AutofocusCore.errors import InputError
from AutofocusCore.images.files import BOMB_BYTES, BOMB_RATIO, damaged
from AutofocusCore.io.python_process import module_command

SECONDS = 4
"""Seconds of processor time for the first megabytes, after ITK is loaded; time spent waiting does not count."""
BYTES_A_SECOND = 4_000_000
WAIT = 30
"""Clock time allowed, as a multiple of that limit: the machine may be busy or the disk slow."""
SECONDS_TO_LOAD = 120
"""Seconds of clock time for loading ITK's libraries."""
TOO_LONG = [getattr(signal, name) for name in ("SIGALRM", "SIGXCPU") if hasattr(signal, name)]
"""Signals that end the other process when it exceeds its time limits."""
ADDRESS_SPACE = 3 * 1024**3
"""Memory limit of the other process: what its libraries map, and a gigabyte."""


@dataclass(frozen=True)
class ItkHeader:
    """ITK's information about a file."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    components: int
    kind: str


class ItkProcess:
    """Files read by one of ITK's readers in another process; temporary files are removed after the `with` block.

    Args:
        files: the files, all of which exist.
        reader: ITK's name of the reader, such as "TIFFImageIO".
        name: name of the image in messages.
        frame: number of the volume in a 4-D image; None: all.
        about_only: read only sizes and the like, no voxels.

    Raises:
        InputError: the files are damaged, hostile, or too large.
    """

    def __init__(
        self, files: Sequence[Path], reader: str, name: str, *, frame: int | None = None, about_only: bool = False
    ) -> None:
        self._files, self._reader, self._name, self._frame = files, reader, name, frame
        self._about_only = about_only
        self._stack = ExitStack()

    def __enter__(self) -> ItkProcess:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="autofocus-")))
        self._folder = folder
        stored = sum(path.stat().st_size for path in self._files)
        most = max(BOMB_BYTES, BOMB_RATIO * stored)
        request = {
            "files": [str(path.absolute()) for path in self._files],
            "reader": self._reader,
            "frame": self._frame,
            "about": self._about_only,
            "out": str(folder),
            "seconds": SECONDS + stored // BYTES_A_SECOND,
            "wait": WAIT,
            "most": most // 2,  # values, of two bytes or more
            "bytes": ADDRESS_SPACE + 4 * min(most, max(BOMB_BYTES, 60 * stored)),
        }
        try:
            self._run(folder, request)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _run(self, folder: Path, request: dict[str, Any]) -> None:
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        command = module_command(_python(), "AutofocusCore.io.native_reader", str(folder / "request.json"))
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=WAIT * request["seconds"] + SECONDS_TO_LOAD,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._too_long() from None
        except OSError as error:
            raise InputError(f"{self._name} cannot be read: {error}", "free memory, and try again") from None
        if done.returncode == 0:
            return
        said = folder / "error.txt"
        if said.exists():
            raise self._translated(said.read_text(encoding="utf-8", errors="replace"))
        if -done.returncode in TOO_LONG:
            raise self._too_long()
        raise InputError(
            f"{self._name} is damaged or hostile: ITK's reader of this format crashed (status {done.returncode})",
            "copy or download it again, or export the image in another format",
        )

    def _too_long(self) -> InputError:
        return InputError(
            f"{self._name} took too long to read: ITK's reader of this format hangs on it",
            "copy or download it again, or export the image in another format",
        )

    def _translated(self, text: str) -> InputError:
        if text == "memory" or "bad_alloc" in text or "Failed to allocate" in text or "MemoryError" in text:
            return InputError(
                f"{self._name} claims a size that its bytes cannot hold, or that the memory cannot",
                "check where it comes from, or crop the image",
            )
        return damaged(self._files[0])

    @property
    def about(self) -> list[ItkHeader]:
        """ITK's information about each file."""
        found: list[dict[str, Any]] = json.loads((self._folder / "about.json").read_text())
        return [
            ItkHeader(
                size=tuple(one["size"]),
                spacing=tuple(one["spacing"]),
                origin=tuple(one["origin"]),
                direction=tuple(one["direction"]),
                components=one["components"],
                kind=one["kind"],
            )
            for one in found
        ]

    def voxels(self, index: int) -> npt.NDArray[Any]:
        """The voxels of a file (z, y, x, or more axes)."""
        array: npt.NDArray[Any] = np.load(self._folder / f"voxels-{index}.npy", allow_pickle=False)
        return array


def _python() -> str:
    """The interpreter of this process; within an application that embeds Python, the launcher beside it."""
    found = Path(sys.executable or "")
    if "python" in found.name.lower():
        return str(found)
    for folder in (found.parent, found.parent.parent / "bin", Path(sys.prefix) / "bin", Path(sys.prefix)):
        for name in ("PythonSlicer", "PythonSlicer.exe", "python-real", "python3", "python", "python.exe"):
            if (folder / name).is_file():
                return str(folder / name)
    return shutil.which("python3") or sys.executable
