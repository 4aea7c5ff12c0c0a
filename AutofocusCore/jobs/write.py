"""The files of a job, written all or none, and how its result was made, which they say in their headers."""

from __future__ import annotations

import dataclasses
import platform
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore._version import __version__
from AutofocusCore.io.atomic import Staging, stem_of
from AutofocusCore.io.results import (
    write_attention,
    write_probabilities,
    write_reach,
    write_recalibration,
    write_segmentation,
)
from AutofocusCore.jobs.dicom_export import export_dicom
from AutofocusCore.jobs.measure import write_statistics
from AutofocusCore.jobs.review import write_review_files

if TYPE_CHECKING:
    from AutofocusCore.inference import CancelledCallback, ProgressCallback
    from AutofocusCore.jobs.job import Job
    from AutofocusCore.jobs.run import CheckedJob
    from AutofocusCore.models import Model
    from AutofocusCore.result import SegmentationResult


def write_files(
    checked: CheckedJob,
    result: SegmentationResult,
    progress: ProgressCallback | None,
    cancelled: CancelledCallback | None,
) -> list[Path]:
    """Write every file of a job, or none; their final names."""
    job, spec, record = checked.job, checked.model.spec, result.provenance
    out, stem = job.outputs, stem_of(job.outputs.segmentation)
    from AutofocusCore.inference.progress import Reporter

    with Staging() as staging:
        reporter = Reporter("write", 4, progress, cancelled).begin()
        if out.attention is not None and result.attention:
            folder = staging.folder(out.attention)
            write_attention(folder, stem, result.attention, provenance=record, staging=staging)
        if out.attention is not None and result.recalibration is not None:
            folder = staging.folder(out.attention)
            factors = result.recalibration
            write_recalibration(folder, stem, factors.factors, factors.grid, provenance=record, staging=staging)
        if out.attention is not None and result.reach is not None:
            folder, reach = staging.folder(out.attention), result.reach
            write_reach(folder, stem, reach.values, reach.grid, provenance=record, staging=staging)
        reporter.step()
        if out.probabilities is not None:
            probabilities = result.probabilities
            assert probabilities is not None
            write_probabilities(out.probabilities, probabilities, provenance=record, staging=staging)
        reporter.step()
        if out.statistics is not None:
            write_statistics(out.statistics, result.measurements, staging=staging)
        if out.reviews:
            write_review_files(checked, result, staging)
        reporter.step()
        if out.dicom is not None:
            export_dicom(
                out.segmentation,
                out.dicom,
                result.labels,
                spec.structures,
                record,
                job.images[0],
                series=job.series_of(0),
                frame=job.settings.frame,
                staging=staging,
            )
        else:
            labels, structures = result.labels, spec.structures
            write_segmentation(out.segmentation, labels, structures, provenance=record, staging=staging)
        reporter.step()
    return staging.finals


def provenance(job: Job, model: Model, result: SegmentationResult) -> dict[str, Any]:
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
        "model": {**model.to_record(), "title": spec.title, "version": spec.version, "synthetic": spec.synthetic},
        "inputs": {c.name: Path(image).name for c, image in zip(spec.channels, job.images, strict=True)},
        "settings": settings,
        "device": result.device,
        "precision": result.precision,
        "plan": result.plan,
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
        "warnings": list(result.warnings),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "SimpleITK": sitk.Version.VersionString(),
        },
        "intended_use": spec.intended_use,
    }
