"""Files and folders that are skipped because they are not cases, counted and named by reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from AutofocusCore.io.texts import printable

MOST_NAMES = 3

# Each as (for one, for several).
SEGMENTATIONS = ("it is a segmentation (.seg.nrrd)", "they are segmentations (.seg.nrrd)")
LABEL_NAMES = (
    "its name says that it is a label map or a map of other images",
    "their names say that they are label maps or maps of other images",
)
SIDECARS = (
    "the sidecar beside it says that it is a label map",
    "the sidecars beside them say that they are label maps",
)
RESULTS = ("it holds the results of a batch", "they hold the results of batches")
NO_FILES = (
    "it is a pipe, a socket or a device, not a file",
    "they are pipes, sockets or devices, not files",
)
INSIDE_SERIES = (
    "it lies inside the folder of a DICOM series, which is the case",
    "they lie inside folders of DICOM series, which are the cases",
)
NOT_RAW = ("it holds no raw images of the BIDS data set", "they hold no raw images of the BIDS data set")
NO_IMAGES = ("it holds no image", "they hold no images")


class SkippedFiles:
    """Collects skipped files and folders by reason.

    Args:
        folder: names are relative to this folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[tuple[str, str], list[Path]] = {}

    def add(self, reason: tuple[str, str], *paths: Path) -> None:
        """Add skipped files."""
        if paths:
            self._found.setdefault(reason, []).extend(paths)

    def lines(self) -> Iterator[str]:
        """A sentence for each reason."""
        for (of_one, of_several), paths in self._found.items():
            names = [path.relative_to(self._folder).as_posix() + "/" * path.is_dir() for path in paths]
            folders = sum(name.endswith("/") for name in names)
            noun = "folder" if folders == len(names) else "files and folder" if folders else "file"
            count = f"1 {noun} is" if len(names) == 1 else f"{len(names)} {noun}s are"
            yield (
                f"{count} skipped because {of_one if len(names) == 1 else of_several}: {some(names)}; "
                "if one is a case, list the cases in a table."
            )


def some(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    more = len(names) - MOST_NAMES
    first = ", ".join(printable(name) for name in names[:MOST_NAMES])
    return f"{first} and {more} more" if more > 0 else first
