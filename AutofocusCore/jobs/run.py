"""Runs one job: reads the channels, segments, writes all files or none."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from AutofocusCore.io.atomic import stem_of
from AutofocusCore.io.results import attention_names, reach_name, recalibration_name
from AutofocusCore.jobs.dicom_export import check_dicom_export
from AutofocusCore.jobs.job import Job, Settings
from AutofocusCore.jobs.measure import measure
from AutofocusCore.jobs.write import provenance, write_files

if TYPE_CHECKING:
    import SimpleITK as sitk

    from AutofocusCore.images.preparing import CheckedChannels
    from AutofocusCore.inference import CancelledCallback, ProgressCallback
    from AutofocusCore.models import Model, ModelSpec
    from AutofocusCore.result import SegmentationResult
    from AutofocusCore.review import Calibration
    from AutofocusCore.segmentation import RoiBox


@dataclass(frozen=True)
class CheckedJob:
    """A job that fits its model and whose files can be written, as `check_job` returns it; not checked again.

    Attributes:
        job, model: as they were given.
        review: whether the result is reviewed.
        calibration: the model's, for the review; None where it has none, or there is no review.
    """

    job: Job
    model: Model
    review: bool
    calibration: Calibration | None = None


def run_job(
    checked: CheckedJob,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
) -> SegmentationResult:
    """Read, segment and write. Afterwards all files of the job exist, or none.

    Raises:
        AutofocusError: an error that the user can correct.
        Cancelled: `cancelled()` returned true.
    """
    result = compute_job(checked, progress=progress, cancelled=cancelled)
    start = time.monotonic()
    files = write_files(checked, result, progress, cancelled)
    return result.written(files, time.monotonic() - start)


def check_job(job: Job, model: Model, *, writes: bool = True, review: bool | None = None) -> CheckedJob:
    """Refuse images that the model cannot use and files that cannot be written, before the computation.

    Args:
        job: the request.
        model: the requested model.
        writes: whether its files are written; the worker hands results over in another way.
        review: whether the result is reviewed; None: if the model is calibrated, or a file of the review is wanted.

    Raises:
        InputError, SettingError, OutputError: why the job cannot be run.
        ModelError: the result is to be reviewed, and the model's calibration cannot be used.
    """
    job.check_images(model.spec)
    if writes:
        job.check_outputs(_attention_files(job, model.spec) if job.outputs.attention is not None else ())
        if job.outputs.dicom is not None:
            check_dicom_export(job.outputs.segmentation, job.outputs.dicom, job.images[0])
    from AutofocusCore.review.calibration import calibration_of

    if review is None:
        review = job.outputs.reviews or bool(model.spec.calibration)
    calibration = calibration_of(model.spec) if review else None
    return CheckedJob(job, model, review, calibration)


def attention_layers(spec: ModelSpec) -> tuple[int, bool]:
    """How many layers of a model have attention to write, and whether it recalibrates the scores of classes."""
    from AutofocusCore.models.weights import network_of

    network = network_of(spec.architecture, outline=True)
    return network.autofocus_layers, bool(getattr(network, "recalibrates", False))


def _attention_files(job: Job, spec: ModelSpec) -> Iterator[str]:
    """The names of the files in the attention folder; the network's outline is only built when they are asked for."""
    count, recalibrates = attention_layers(spec)
    wanted, stem = job.settings.attention_layers, stem_of(job.outputs.segmentation)
    layers = range(count) if wanted is None else set(wanted) & set(range(count))
    for pair in attention_names(stem, layers).values():
        yield from pair
    if count and len(layers) == count:
        yield reach_name(stem)
    if recalibrates:
        yield recalibration_name(stem)


def compute_job(
    checked: CheckedJob,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelledCallback | None = None,
) -> SegmentationResult:
    """Read and segment; attention and probabilities only if the job has outputs for them. Raises as `run_job`.

    Args:
        checked: what to do, with which model.
        progress, cancelled: as for `AutofocusCore.segmentation.segment_image`.
    """
    from AutofocusCore.inference import resolve_device
    from AutofocusCore.review import assess
    from AutofocusCore.segmentation import segment_checked

    job, model = checked.job, checked.model
    start = time.monotonic()
    channels = _read_channels(job, progress, cancelled)
    roi, roi_warnings = read_region(job.settings)
    seconds = {"read": time.monotonic() - start}
    layers = job.settings.attention_layers
    result = segment_checked(
        model,
        channels,
        roi=roi,
        mode=job.settings.mode,
        device=resolve_device(job.settings.device),
        precision=job.settings.precision,
        memory_limit=job.settings.memory_limit,
        attention=None if job.outputs.attention is None else "all" if layers is None else list(layers),
        probabilities=job.outputs.probabilities is not None,
        evidence=checked.review,
        smallest_island_mm3=job.settings.smallest_island_mm3,
        progress=progress,
        cancelled=cancelled,
    )
    seconds |= result.seconds
    warnings = tuple(dict.fromkeys((*channels.warnings, *roi_warnings, *result.warnings)))
    if job.outputs.attention is not None and not result.attention and result.recalibration is None:
        warnings += (f"The model {model.spec.name} has no autofocus layers: there is no attention to write.",)
    assessment = None
    if result.evidence is not None:
        start = time.monotonic()
        names, inputs = [s.name for s in model.spec.structures], [c.name for c in model.spec.channels]
        assessment = assess(result.evidence, names, checked.calibration, inputs)
        seconds["review"] = time.monotonic() - start
        warnings += assessment.warnings
    measurements = tuple(measure(result.labels, model.spec.structures, channels.images[0]))
    result = dataclasses.replace(
        result, seconds=seconds, warnings=warnings, assessment=assessment, measurements=measurements
    )
    return dataclasses.replace(result, provenance=provenance(job, model, result))


def _read_channels(job: Job, progress: ProgressCallback | None, cancelled: CancelledCallback | None) -> CheckedChannels:
    from AutofocusCore.images import read_image
    from AutofocusCore.images.checks import check_usable
    from AutofocusCore.images.preparing import CheckedChannels
    from AutofocusCore.inference.progress import Reporter

    scans = []
    reporter = Reporter("read", len(job.images), progress, cancelled).begin()
    for i, path in enumerate(job.images):
        scans.append(read_image(path, series=job.series_of(i), frame=job.settings.frame))
        check_usable(scans[-1].image, str(scans[-1].path))
        reporter.step()
    warnings = tuple(text for scan in scans for text in scan.warnings)
    return CheckedChannels(tuple(scan.image for scan in scans), tuple(str(scan.path) for scan in scans), warnings)


def read_region(settings: Settings) -> tuple[sitk.Image | RoiBox | None, tuple[str, ...]]:
    """The mask or box of the settings, or None, and warnings about its file."""
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


def _point(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)
