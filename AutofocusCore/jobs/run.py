"""Runs one job: reads the channels, segments, writes all files or none."""

from __future__ import annotations

import dataclasses
import functools
import json
import platform
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore._version import __version__
from AutofocusCore.errors import Cancelled
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.results import (
    attention_names,
    reach_name,
    recalibration_name,
    write_attention,
    write_probabilities,
    write_reach,
    write_recalibration,
    write_segmentation,
)
from AutofocusCore.jobs.job import Job, Settings
from AutofocusCore.jobs.measure import Measurement, measure, write_statistics

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.inference import CancelledCallback, ProgressCallback
    from AutofocusCore.models import Model, ModelSpec
    from AutofocusCore.segmentation import RoiBox, Segmentation


@dataclass(frozen=True)
class Outcome:
    """Result of `run_job`."""

    files: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    seconds: dict[str, float]
    device: str
    precision: str
    plan: str
    warnings: tuple[str, ...]
    result_id: str

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volume of every structure in millilitres."""
        return {m.structure: m.volume_ml for m in self.measurements}

    def to_dict(self) -> dict[str, Any]:
        """All fields for JSON."""
        return {**dataclasses.asdict(self), "volumes_ml": self.volumes_ml, "seconds_total": sum(self.seconds.values())}


@dataclass(frozen=True)
class Computed:
    """Result of `compute_job`, before files are written.

    Attributes:
        result: labels, attention, probabilities.
        measurements: of every structure.
        provenance: how it was made, any JSON.
        seconds: wall time by stage.
        warnings: sentences for the user.
    """

    result: Segmentation
    measurements: tuple[Measurement, ...]
    provenance: dict[str, Any]
    seconds: dict[str, float]
    warnings: tuple[str, ...]

    def outcome(self, files: Sequence[str | Path], seconds_to_write: float) -> Outcome:
        """The outcome, once these files are written."""
        return Outcome(
            files=tuple(str(path) for path in files),
            measurements=self.measurements,
            seconds={k: round(v, 3) for k, v in {**self.seconds, "write": seconds_to_write}.items()},
            device=self.result.device,
            precision=self.result.precision,
            plan=str(self.result.plan.describe()),
            warnings=self.warnings,
            result_id=self.provenance["result_id"],
        )


def run_job(
    job: Job,
    model: Model,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
) -> Outcome:
    """Read, segment and write. Afterwards all files of the job exist, or none.

    Raises:
        AutofocusError: an error that the user can correct.
        Cancelled: `cancelled()` returned true.
    """
    check_job(job, model)
    computed = compute_job(job, model, progress=progress, cancelled=cancelled)
    start = time.monotonic()
    files = _write(job, model, computed, reporter(progress, cancelled))
    return computed.outcome(files, time.monotonic() - start)


def check_job(job: Job, model: Model) -> None:
    """Refuse, before anything is computed, images that the model does not take and files that cannot be written."""
    job.check_images(model.spec)
    job.check_outputs(_attention_files(job, model.spec) if job.outputs.attention is not None else ())


def attention_layers(spec: ModelSpec) -> tuple[int, bool]:
    """How many layers of a model have attention to write, and whether it recalibrates the scores of classes."""
    return _layers_of(json.dumps(spec.architecture))


@functools.lru_cache
def _layers_of(architecture: str) -> tuple[int, bool]:
    from AutofocusCore.models.weights import outline_of

    network = outline_of(json.loads(architecture))
    return network.autofocus_layers, bool(getattr(network, "recalibrates", False))


def _attention_files(job: Job, spec: ModelSpec) -> list[str]:
    count, recalibrates = attention_layers(spec)
    wanted, stem = job.settings.attention_layers, job.outputs.stem
    layers = range(count) if wanted is None else set(wanted) & set(range(count))
    names = [name for pair in attention_names(stem, layers).values() for name in pair]
    if count and len(layers) == count:
        names.append(reach_name(stem))
    return [*names, recalibration_name(stem)] if recalibrates else names


def reporter(progress: ProgressCallback | None, cancelled: CancelledCallback | None) -> Callable[[str, int, int], None]:
    """A function that reports a stage, what is done of it and what there is to do, unless the run is to stop."""
    from AutofocusCore.inference import Progress

    def report(stage: str, done: int, total: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        if progress is not None:
            progress(Progress(stage, done, total, None))

    return report


def compute_job(
    job: Job,
    model: Model,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
) -> Computed:
    """Read and segment; attention and probabilities only if the job has outputs for them. Raises as `run_job`."""
    job.check_images(model.spec)
    from AutofocusCore.segmentation import segment_image

    start = time.monotonic()
    channels, read_warnings = _read_channels(job, reporter(progress, cancelled))
    roi, roi_warnings = read_region(job.settings)
    seconds = {"read": time.monotonic() - start}
    layers = job.settings.attention_layers
    result = segment_image(
        model,
        channels,
        roi=roi,
        mode=job.settings.mode,
        device=job.settings.device,
        precision=job.settings.precision,
        memory_limit=job.settings.memory_limit,
        attention=None if job.outputs.attention is None else "all" if layers is None else list(layers),
        probabilities=job.outputs.probabilities is not None,
        smallest_island_mm3=job.settings.smallest_island_mm3,
        progress=progress,
        cancelled=cancelled,
    )
    seconds |= {stage: value for stage, value in result.seconds.items() if stage not in seconds}
    warnings = tuple(dict.fromkeys((*read_warnings, *roi_warnings, *result.warnings)))
    if job.outputs.attention is not None and not result.attention and result.recalibration is None:
        warnings += (f"The model {model.spec.name} has no autofocus layers: there is no attention to write.",)
    measurements = tuple(measure(result.labels, model.spec.structures, channels[0]))
    record = provenance(job, model, result, seconds, warnings)
    return Computed(result, measurements, record, seconds, warnings)


def provenance(
    job: Job, model: Model, result: Segmentation, seconds: Mapping[str, float], warnings: Sequence[str]
) -> dict[str, Any]:
    """How a result was made, for the headers of files; names of files only, as folders may name patients."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    spec = model.spec
    settings = {k: v for k, v in dataclasses.asdict(job.settings).items() if v not in (None, ())}
    if "roi_mask" in settings:
        settings["roi_mask"] = Path(settings["roi_mask"]).name
    return {
        "result_id": uuid.uuid4().hex,  # the same in all files of one result: attention belongs to its segmentation
        "software": f"AutofocusSegmentation {__version__}",
        "model": {**model.to_record(), "version": spec.version, "synthetic": spec.synthetic},
        "inputs": {c.name: Path(image).name for c, image in zip(spec.channels, job.images, strict=True)},
        "settings": settings,
        "device": result.device,
        "precision": result.precision,
        "plan": str(result.plan.describe()),
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "warnings": list(warnings),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "SimpleITK": sitk.Version.VersionString(),
        },
        "intended_use": spec.intended_use,
    }


def _read_channels(job: Job, report: Callable[[str, int, int], None]) -> tuple[list[sitk.Image], tuple[str, ...]]:
    from AutofocusCore.images import read_image

    images: list[sitk.Image] = []
    warnings: list[str] = []
    for i, path in enumerate(job.images):
        report("read", i, len(job.images))
        scan = read_image(path, series=job.series_of(i), frame=job.settings.frame)
        images.append(scan.image)
        warnings += scan.warnings
    report("read", len(images), len(images))
    return images, tuple(warnings)


def read_region(settings: Settings) -> tuple[sitk.Image | RoiBox | None, tuple[str, ...]]:
    """The mask or the box that the settings name, or None, and what was odd about its file."""
    if settings.roi_mask is not None:
        from AutofocusCore.images import read_image

        scan = read_image(settings.roi_mask)
        return scan.image, scan.warnings
    if settings.roi_box is not None:
        from AutofocusCore.segmentation import RoiBox

        box = settings.roi_box
        if len(box) == 15:
            return RoiBox(_point(box[:3]), _point(box[3:6]), box[6:]), ()
        return RoiBox.between(_point(box[:3]), _point(box[3:])), ()
    return None, ()


def _write(
    job: Job,
    model: Model,
    computed: Computed,
    report: Callable[[str, int, int], None],
) -> list[Path]:
    out, result, record = job.outputs, computed.result, computed.provenance
    with Staging() as staging:
        report("write", 0, 4)
        if out.attention is not None and result.attention:
            folder = staging.folder(out.attention)
            write_attention(folder, out.stem, result.attention, provenance=record, staging=staging)
        if out.attention is not None and result.recalibration is not None:
            folder = staging.folder(out.attention)
            factors = result.recalibration
            write_recalibration(folder, out.stem, factors.factors, factors.grid, provenance=record, staging=staging)
        if out.attention is not None and result.reach is not None:
            folder, reach = staging.folder(out.attention), result.reach
            write_reach(folder, out.stem, reach.values, reach.grid, provenance=record, staging=staging)
        report("write", 1, 4)
        if out.probabilities is not None:
            assert result.probabilities is not None
            write_probabilities(out.probabilities, result.probabilities, provenance=record, staging=staging)
        report("write", 2, 4)
        if out.statistics is not None:
            write_statistics(out.statistics, computed.measurements, staging=staging)
        report("write", 3, 4)
        write_segmentation(out.segmentation, result.labels, model.spec.structures, provenance=record, staging=staging)
        report("write", 4, 4)
    return staging.finals


def _point(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)
