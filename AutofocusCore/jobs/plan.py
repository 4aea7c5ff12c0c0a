"""The plan of a job before it runs: memory, slabs, seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from AutofocusCore.jobs.job import Settings
from AutofocusCore.jobs.run import read_region

if TYPE_CHECKING:
    from AutofocusCore.images import Grid
    from AutofocusCore.models import Model

TYPICAL_SHARE = 0.4
"""Assumed share of a scan that the patient fills, for networks that compute only the patient."""

ALONG_THE_PATIENT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def plan_job(
    model: Model,
    size: Sequence[int],
    spacing: Sequence[float],
    settings: Settings,
    *,
    origin: Sequence[float] | None = None,
    direction: Sequence[float] | None = None,
    attention: bool = False,
) -> dict[str, Any]:
    """Plan the segmentation of an image from its geometry; the body's position is not known yet.

    Args:
        model: from `AutofocusCore.models`.
        size: voxels (x, y, z) of the first channel.
        spacing: mm (x, y, z).
        settings: as for the run; the region of interest may be a box or a mask.
        origin: mm (x, y, z), LPS, of the first voxel; None: a region of interest is in the middle of the image.
        direction: nine direction cosines, row by row; None: along the patient's axes.
        attention: whether attention maps are requested.

    Returns:
        "plan": a sentence; "peak_bytes" of memory of the device, on the CPU all stages together; "prepare_bytes", of
        the computer's memory before the network runs; "seconds" (of the stage "predict"), "device", "precision",
        "slabs", "splits", "work" (multiplications).

    Raises:
        InputError: the region of interest does not touch the image.
        SettingError, DeviceError, MemoryLimitError: as for the run.
    """
    import numpy as np

    from AutofocusCore.images.checks import check_model_grid, check_size, preparing_bytes
    from AutofocusCore.images.geometry import model_grid
    from AutofocusCore.images.roi import RoiBox, roi_region
    from AutofocusCore.inference import plan_volume, resolve_device
    from AutofocusCore.inference.devices import resolve_precision
    from AutofocusCore.inference.progress import expected_seconds, multiplications

    image = _grid(size, spacing, origin, direction)
    roi, _ = read_region(settings)
    if isinstance(roi, RoiBox) and origin is None:
        x, y, z = image.to_mm([(n - 1) / 2 for n in image.size]).tolist()
        roi = dataclasses.replace(roi, center=(x, y, z))
    check_size(image, "The image")
    grid = model_grid(image, model.spec.orientation, model.spec.spacing)
    check_model_grid(image, grid, len(model.spec.channels), "The image")
    network = model.build()
    layers = settings.attention_layers
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device, settings.mode)
    plan = plan_volume(
        network,
        (len(model.spec.channels), *grid.shape),
        mode=settings.mode,
        device=device.id,
        precision=precision,
        memory_limit=settings.memory_limit,
        attention=None if not attention else "all" if layers is None else list(layers),
        region=None if roi is None else roi_region(roi, grid),
        active_share=1.0 if model.spec.roi == "none" else TYPICAL_SHARE,
    )
    # The images (4 bytes a voxel at most, but for rare types) and the prepared channels stay while the network runs.
    channels = len(model.spec.channels)
    images, prepared = (4 * channels * int(np.prod(each.size, dtype=np.float64)) for each in (image, grid))
    prepare = images + preparing_bytes(image, grid, channels)
    if device.id == "cpu":
        plan = dataclasses.replace(plan, peak_bytes=max(prepare, images + prepared + plan.peak_bytes))
    return {
        "plan": str(plan.describe()),
        "prepare_bytes": prepare,
        "peak_bytes": int(plan.peak_bytes),
        "seconds": expected_seconds(network, plan, device.id, precision),
        "device": device.id,
        "precision": precision,
        "slabs": plan.slabs,
        "splits": plan.splits,
        "work": multiplications(network, plan),
    }


def _grid(
    size: Sequence[int], spacing: Sequence[float], origin: Sequence[float] | None, direction: Sequence[float] | None
) -> Grid:
    import numpy as np

    from AutofocusCore.images import Grid

    matrix = np.reshape(np.asarray(direction or ALONG_THE_PATIENT, dtype=np.float64), (3, 3)) * np.asarray(spacing)
    return Grid.from_matrix(size, matrix, np.asarray(origin or (0.0, 0.0, 0.0), dtype=np.float64))
