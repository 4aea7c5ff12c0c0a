"""NaN and infinity in NIfTI of every dimension: marked in volumes; slices and the like are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore import cli
from AutofocusCore.errors import InputError
from AutofocusCore.images import read_image


def written(path: Path, array: np.ndarray, sheared: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    if sheared:
        raw = bytearray(path.read_bytes())
        rows = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], dtype="<f4")
        raw[252:256] = np.array([0, 1], dtype="<i2").tobytes()  # qform_code, sform_code
        raw[280:328] = rows.tobytes()
        path.write_bytes(raw)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("sheared", [False, True])
def test_a_single_slice_is_refused_whatever_its_type(tmp_path: Path, kind: type, sheared: bool) -> None:
    array = np.random.default_rng(0).normal(100, 10, (12, 14)).astype(kind)
    with pytest.raises(InputError, match=r"a\.nii is a single 2-D slice \(14 × 12"):
        read_image(written(tmp_path / "a.nii", array, sheared))


def test_a_single_slice_ends_the_command_line_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.nii.gz", np.ones((12, 14), dtype=np.float32))
    assert cli.main(["segment", str(path), "--model", "hippocampus-mr", "--output", str(tmp_path / "out.nii.gz")]) != 0
    assert "is a single 2-D slice" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_in_a_volume_is_named(tmp_path: Path, value: float) -> None:
    array = np.random.default_rng(0).normal(100, 10, (6, 7, 8)).astype(np.float32)
    array[2, 3, 4] = value
    scan = read_image(written(tmp_path / "a.nii", array))
    assert "1 voxel without a usable value" in scan.warnings[0]
