"""How a result was made, for the headers of files and for reports."""

from __future__ import annotations

import dataclasses
import platform
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore._version import __version__

if TYPE_CHECKING:
    from AutofocusCore.jobs.job import Job
    from AutofocusCore.models import Model
    from AutofocusCore.result import SegmentationResult


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
