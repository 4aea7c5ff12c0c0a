"""The files of a job, written all or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.io.atomic import Staging
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
    from AutofocusCore.jobs.job import Job
    from AutofocusCore.models import Model
    from AutofocusCore.result import SegmentationResult


def write_files(
    job: Job,
    model: Model,
    result: SegmentationResult,
    report: Callable[[str, int, int], None],
) -> list[Path]:
    """Write every file of a job, or none; their final names."""
    out, record = job.outputs, result.provenance
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
            probabilities = result.probabilities
            assert probabilities is not None
            write_probabilities(out.probabilities, probabilities, provenance=record, staging=staging)
        report("write", 2, 4)
        if out.statistics is not None:
            write_statistics(out.statistics, result.measurements, staging=staging)
        write_review_files(job, model, result, staging)
        report("write", 3, 4)
        if out.dicom is not None:
            export_dicom(
                out.segmentation,
                out.dicom,
                result.labels,
                model.spec.structures,
                record,
                job.images[0],
                series=job.series_of(0),
                frame=job.settings.frame,
                staging=staging,
            )
        else:
            labels, structures = result.labels, model.spec.structures
            write_segmentation(out.segmentation, labels, structures, provenance=record, staging=staging)
        report("write", 4, 4)
    return staging.finals
