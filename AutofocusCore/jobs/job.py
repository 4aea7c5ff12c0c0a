"""Description of a job: input files, model, settings, output files. The command line, batches and the worker run jobs.

A `Job` is plain data (strings and numbers), so that it crosses process boundaries as a pickle or as JSON.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from AutofocusCore.errors import InputError, OutputError, SettingError
from AutofocusCore.io.dicom_objects import DICOM_FORMATS
from AutofocusCore.io.outputs import (
    SEGMENTATION_FORMATS,
    VOLUME_FORMATS,
    check_folder,
    check_format,
    check_sidecar,
    check_writable,
    sidecar_path,
)
from AutofocusCore.io.texts import check_name, is_number, is_whole

if TYPE_CHECKING:
    from AutofocusCore.models import ModelSpec

MODES = ("exact", "paper")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def _is_name(value: object) -> bool:
    """Whether the value can name a file or folder; an empty name would mean the current folder."""
    return isinstance(value, (str, os.PathLike)) and bool(os.fspath(value)) and "\0" not in os.fspath(value)


KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "device": (_is_name, "its name"),
    "precision": (_is_name, f"one of {', '.join(PRECISIONS)}"),
    "mode": (_is_name, f"one of {', '.join(MODES)}"),
    "memory_limit": (lambda value: value is None or is_number(value), "a number of bytes"),
    "roi_mask": (lambda value: value is None or _is_name(value), "the name of a file"),
    "roi_box": (
        lambda value: value is None or (isinstance(value, tuple) and all(map(is_number, value))),
        "six finite numbers, in millimetres",
    ),
    "smallest_island_mm3": (is_number, "a finite number"),
    "series": (
        lambda value: isinstance(value, tuple) and all(isinstance(one, str) or is_whole(one) for one in value),
        "a list of texts",
    ),
    "frame": (lambda value: value is None or is_whole(value), "a whole number"),
    "attention_layers": (
        lambda value: value is None or (isinstance(value, tuple) and all(map(is_whole, value))),
        "a list of whole numbers",
    ),
}
"""For each setting: a check of the value's type, and the remedy if it fails. Settings may come from JSON."""


@dataclass(frozen=True)
class Settings:
    """How to compute.

    Args:
        device: "auto", "cpu", "cuda:N" or "mps".
        precision: "auto", "float32", "bfloat16" or "float16".
        mode: "exact" or "paper" (75³ → 47³ tiles).
        memory_limit: bytes, None for what the device has free.
        roi_mask: image file whose voxels other than 0 are the region of interest.
        roi_box: the region of interest in mm, LPS: (x0, y0, z0, x1, y1, z1), two opposite corners; or, for a rotated
            box, 15 numbers: centre, edge lengths and the nine direction cosines of its axes, row by row.
        smallest_island_mm3: islands of a structure smaller than this become background; 0 keeps all.
        series: which series of a DICOM folder, for each channel; one stands for all channels; none: the only one.
        frame: which volume of a 4-D image, from 0; None: the only one.
        attention_layers: autofocus layers, from 0, whose attention is wanted; None: all.
    """

    device: str = "auto"
    precision: str = "auto"
    mode: Literal["exact", "paper"] = "exact"
    memory_limit: int | None = None
    roi_mask: str | None = None
    roi_box: tuple[float, ...] | None = None
    smallest_island_mm3: float = 0.0
    series: tuple[str, ...] = ()
    frame: int | None = None
    attention_layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("roi_box", "series", "attention_layers"):  # lists, where they come from JSON
            value = getattr(self, name)
            if isinstance(value, Iterable) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        for name, (fits, what) in KINDS.items():
            if not fits(getattr(self, name)):
                raise SettingError(f"The setting {name} is {getattr(self, name)!r}", f"give {what}")
        for name, allowed in (("mode", MODES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise SettingError(f"The {name} is {getattr(self, name)!r}", f"use {' or '.join(allowed)}")
        if self.roi_box is not None and len(self.roi_box) not in (6, 15):
            raise SettingError(f"The region of interest has {len(self.roi_box)} numbers", "give six, in millimetres")
        if self.roi_box is not None and self.roi_mask is not None:
            raise SettingError("The region of interest is given twice", "give a mask or a box")
        if self.memory_limit is not None and self.memory_limit <= 0:
            raise SettingError(f"The memory limit is {self.memory_limit} bytes", "give a positive number")
        if not self.smallest_island_mm3 >= 0:
            raise SettingError(f"The smallest island is {self.smallest_island_mm3} mm³", "give 0 or more")


@dataclass(frozen=True)
class Outputs:
    """Files and folders of the results; None for results that are not wanted.

    Args:
        segmentation: file, `.seg.nrrd`, `.nii.gz`, `.nii`, `.nrrd` or `.mha`.
        attention: folder, made where it does not exist.
        probabilities: file, `.nrrd`, `.nii.gz`, `.nii` or `.mha`.
        statistics: file, `.csv`.
        dicom: "rtstruct" or "seg": the segmentation is such a DICOM object, `.dcm`.
        uncertainty: file of the uncertainty map, in bits, `.nrrd`, `.nii.gz`, `.nii` or `.mha`.
        review: list of the places to check, `.csv`, or `.mrk.json`, which Slicer opens as points.
        report: the case's report, `.html`.
    """

    segmentation: str
    attention: str | None = None
    probabilities: str | None = None
    statistics: str | None = None
    dicom: str | None = None
    uncertainty: str | None = None
    review: str | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not _is_name(value) and (value is not None or name == "segmentation"):
                what = "folder" if name == "attention" else "file"
                raise SettingError(f"The output {name} is {value!r}", f"give the name of a {what}")
        if self.dicom is not None and self.dicom not in DICOM_FORMATS:
            raise SettingError(f"The format is {self.dicom!r}", f"use {' or '.join(DICOM_FORMATS)}")

    @property
    def reviews(self) -> bool:
        """Whether a file is wanted for which the result must be reviewed."""
        return any(path is not None for path in (self.uncertainty, self.review, self.report))


@dataclass(frozen=True)
class Job:
    """One segmentation: an image file or DICOM folder per channel, in the model's order."""

    images: tuple[str, ...]
    model: str
    outputs: Outputs
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of `dataclasses.asdict`, for jobs that came as JSON.

        Raises:
            SettingError: a field is missing or unknown.
        """
        try:
            images = values["images"]
            if not isinstance(images, (list, tuple)) or not all(map(_is_name, images)):
                raise SettingError(f"The job's images are {images!r}", "give a list of names of files or folders")
            return cls(
                images=tuple(str(path) for path in images),
                model=str(values["model"]),
                outputs=Outputs(**values["outputs"]),
                settings=Settings(**values.get("settings") or {}),
            )
        except KeyError as error:
            raise SettingError(f"The job has no {error.args[0]!r}", "give images, model and outputs") from None
        except (TypeError, AttributeError) as error:
            raise SettingError(f"The job is malformed ({error})", "give the fields that are documented") from None

    def check_images(self, spec: ModelSpec) -> None:
        """Refuse the wrong number of images or series for a model."""
        from AutofocusCore.models.parts import check_count

        wanted, series = spec.channels, self.settings.series
        if not all(map(_is_name, self.images)):
            raise InputError("The name of an image is empty", "give a file or a folder for each channel")
        check_count(len(self.images), spec)
        if len(series) not in (0, 1, len(wanted)):
            raise SettingError(
                f"{len(series)} series are asked for", f"give one, or one for each of {len(wanted)} channels"
            )

    def series_of(self, channel: int) -> str | None:
        """The requested series of a channel, counted from 0; a single one applies to all channels."""
        series = self.settings.series
        return series[min(channel, len(series) - 1)] if series else None

    def check_outputs(self, attention_files: Iterable[str] = ()) -> None:
        """Refuse outputs that could not be written, before the computation.

        Args:
            attention_files: names of the files in the attention folder; they can only be given once the model is known.
        """
        out = self.outputs
        if out.dicom is None:
            check_format(out.segmentation, SEGMENTATION_FORMATS, "The segmentation")
        files = [out.segmentation]
        for path, formats, what in (
            (out.probabilities, VOLUME_FORMATS, "The file of probabilities"),
            (out.statistics, (".csv",), "The table of statistics"),
            (out.uncertainty, VOLUME_FORMATS, "The uncertainty map"),
            (out.review, (".csv", ".mrk.json"), "The list of places"),
            (out.report, (".html",), "The report"),
        ):
            if path is not None:
                check_format(path, formats, what)
                files.append(path)
        sidecar = sidecar_path(out.segmentation) if out.dicom is None else None
        maps = [] if out.attention is None else [Path(out.attention) / name for name in attention_files]
        mask = self.settings.roi_mask
        inputs = [*self.images, *([] if mask is None else [mask])]
        check_writable([*files, *([sidecar] if sidecar else [])], inputs, maps)
        if sidecar is not None:
            check_sidecar(out.segmentation)
        if out.attention is not None:
            folder = Path(out.attention)
            check_name(folder, OutputError)
            if folder.exists() and not folder.is_dir():
                raise SettingError(f"The attention folder {folder} is a file", "give a folder")
            there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
            check_folder(there, folder)
