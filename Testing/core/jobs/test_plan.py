"""The plan of a job contains the memory of all its stages, as measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError
from AutofocusCore.jobs.job import Settings
from AutofocusCore.jobs.plan import plan_job
from AutofocusCore.models import find_model

ROOT = Path(__file__).resolve().parents[3]
MEASURE = """
import sys, numpy as np, SimpleITK as sitk
from AutofocusCore.images.preparing import prepare
from AutofocusCore.models import find_model
from Benchmarks.measuring import measure
size, spacing = eval(sys.argv[1]), eval(sys.argv[2])
image = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 200, size[::-1]).astype(np.int16))
image.SetSpacing(spacing)
print(measure(lambda: prepare([image], find_model("hippocampus-mr").spec), "cpu")[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("size", "spacing"), [((40, 40, 30), (4.0, 4.0, 4.0)), ((160, 160, 60), (0.6, 0.6, 1.0))])
def test_preparing_takes_no_more_memory_than_planned_and_not_much_less(
    size: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    command = [sys.executable, "-c", MEASURE, str(size), str(spacing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout)
    plan = plan_job(find_model("hippocampus-mr"), size, spacing, Settings(device="cpu", precision="float32"))
    assert 0.4 * plan["prepare_bytes"] < measured <= plan["prepare_bytes"]
    assert plan["peak_bytes"] >= plan["prepare_bytes"]


def test_slices_far_thicker_than_the_models_voxels_count_in_the_plan() -> None:
    model, settings = find_model("hippocampus-mr"), Settings(device="cpu", precision="float32")
    fine, coarse = (plan_job(model, size, spacing, settings) for size, spacing in (
        ((60, 60, 60), (1, 1, 1)), ((60, 60, 60), (1, 1, 8)),
    ))  # fmt: skip
    assert coarse["prepare_bytes"] - fine["prepare_bytes"] == 4 * 6 * 60**3 * 7
    assert coarse["peak_bytes"] > fine["peak_bytes"] + 4 * 60**3 * 7
    with pytest.raises(InputError, match="larger than any patient"):
        plan_job(model, (60, 60, 40), (1, 1, 60), settings)
