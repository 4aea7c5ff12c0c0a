"""data.json: the list of a prepared folder's cases, with folds and checksums; written atomically, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import write_text

FORMAT = "autofocus-data/1"
FILE_NAME = "data.json"


@dataclass(frozen=True)
class CaseEntry:
    """A case of the list. Paths are POSIX style, relative to data.json.

    Args:
        name: of the case.
        images: one path for each channel; all on the same grid.
        labels: path of the label map, None for a test case without.
        roi: path of the mask that segments are centred in, None for everything.
        fold: of cross-validation, None where the case is in none.
        part: "train" or "test".
        sha256: checksum of each file.
        voxels: of each structure, by label.
        absent: names of structures that were looked for and do not exist in the case.
        unknown: names of structures that were not contoured in this case: the label map shows them as 0, but they may
            be anywhere in it.
        volumes_ml: of each structure, by label.
        centres_mm: mean position of each structure that is there, by label: x, y, z in mm, LPS.
        outside: share of each structure that is there outside the ROI, by label; empty without one.
        background: where the images are normalised, each channel's value of what lies outside the image.
        submission_name: under which BRATS's server takes the case's segmentation: "VSD.{name}.54512" that of 2015, the
            case's own name those of later years.
        sources: the files that the case was made of, relative to where they were.
    """

    name: str
    images: tuple[str, ...]
    labels: str | None
    roi: str | None
    fold: int | None
    part: str
    sha256: Mapping[str, str]
    voxels: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    centres_mm: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    outside: Mapping[str, float] = field(default_factory=dict)
    background: tuple[float, ...] | None = None
    submission_name: str | None = None
    sources: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """All paths of the case."""
        return [*self.images, *(path for path in (self.labels, self.roi) if path)]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(self.images))
        object.__setattr__(self, "absent", tuple(self.absent))
        object.__setattr__(self, "unknown", tuple(self.unknown))
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.images or self.part not in ("train", "test"):
            raise ValueError(f"case {self.name!r} has no images, or a part other than train and test")
        for path in self.files:
            inside = PurePosixPath(path)
            if inside.is_absolute() or ".." in inside.parts or "\\" in path or ":" in path:
                raise ValueError(f"case {self.name!r} names {path!r}, which is not below data.json")
            if path not in self.sha256:
                raise ValueError(f"case {self.name!r} has no checksum of {path!r}")


@dataclass(frozen=True)
class DataList:
    """A prepared folder's contents: its `data.json`.

    Args:
        name: of the collection.
        channels: their names, in the order of each case's images.
        structures: names by label.
        cases: those that can be used.
        problems: of these and of the others.
        preparation: the options and the program's version.
        suspects: contours that look wrong compared with the other cases: "case", "structure", "volume_ml", "why".
    """

    name: str
    channels: tuple[str, ...]
    structures: Mapping[str, str]
    cases: tuple[CaseEntry, ...]
    problems: tuple[Mapping[str, Any], ...] = ()
    preparation: Mapping[str, Any] = field(default_factory=dict)
    suspects: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if list(self.structures) != [str(label) for label in range(1, len(self.structures) + 1)]:
            raise ValueError(f"its structures are labelled {', '.join(self.structures)} and not 1, 2, 3 ...")
        for case in self.cases:
            if len(case.images) != len(self.channels):
                raise ValueError(f"case {case.name!r} has {len(case.images)} images for {len(self.channels)} channels")
            if strange := set(case.unknown) - set(self.structures.values()):
                raise ValueError(f"case {case.name!r} does not know {min(strange)!r}, which is no structure")

    def write(self, folder: Path) -> Path:
        """Write data.json into the folder atomically.

        Raises:
            OutputError: it cannot be written.
        """
        values = {"format": FORMAT, **asdict(self)}
        for case in values["cases"]:
            for optional in ("background", "submission_name"):
                if case[optional] is None:
                    del case[optional]
        return write_json(folder / FILE_NAME, values)


def write_json(path: Path, values: object) -> Path:
    """Write a JSON file atomically.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    return path


def read_data_list(folder: Path) -> DataList:
    """The list of a prepared folder.

    Args:
        folder: holds data.json.

    Raises:
        InputError: there is none, or it is not what `prepare.py` writes.
    """
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"its format is {values['format']!r} and not {FORMAT!r}")
        cases = tuple(CaseEntry(**case) for case in values["cases"])
        names = [case.name for case in cases]
        if len(set(names)) < len(names):
            raise ValueError("two cases have the same name")
        return DataList(
            values["name"],
            tuple(values["channels"]),
            values["structures"],
            cases,
            tuple(values["problems"]),
            values["preparation"],
            tuple(values.get("suspects", ())),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({error})", "make the folder with Training/prepare.py") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
