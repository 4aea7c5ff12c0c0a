"""Images written through SimpleITK: sheared axes are kept in NIfTI, and what cannot be written is a sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.errors import OutputError
from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.resampling import to_image
from AutofocusCore.io.atomic import Staging
from AutofocusCore.io.results import write_image
from AutofocusCore.io.sheared_nifti import is_sheared

STEPS = np.array([[-1.0, 0, 0], [0, -1, -0.9], [0, 0, 3]])
"""In mm, LPS: a CT with tilted gantry, each slice 0.9 mm further to the front."""
TILTED = Grid.from_matrix((7, 6, 5), STEPS, np.array([20.0, 30.0, -15.0]))
VALUES = np.random.default_rng(0).integers(0, 200, TILTED.shape).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_sheared_axes_are_written_to_nifti_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_image(path, to_image(VALUES, TILTED))
    found = nibabel.load(path)
    lps_to_ras = np.diag([-1.0, -1, 1, 1])
    np.testing.assert_allclose(found.affine, lps_to_ras @ TILTED.index_to_lps, atol=1e-5)
    assert found.get_sform(coded=True)[1] == 1, "scanner coordinates"
    np.testing.assert_array_equal(np.asarray(found.dataobj).T, VALUES)
    scan = read_image(path)
    assert Grid.of(scan.image).same_as(TILTED)
    assert "sheared" in scan.warnings[0]


def test_the_same_sheared_image_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, to_image(VALUES, TILTED))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_axes_that_are_perpendicular_to_rounding_are_not_sheared() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    assert not is_sheared(np.float32(turn).ravel())
    assert is_sheared(TILTED.direction)


def test_what_a_format_cannot_hold_is_a_sentence_with_the_reason_and_nothing_is_left(tmp_path: Path) -> None:
    image = to_image(VALUES.astype(np.float32), TILTED)
    with (
        pytest.raises(OutputError, match=r"Cannot write to .* \(.+\); choose another place or format"),
        Staging() as one,
    ):
        write_image(one.aside(tmp_path / "a.strange"), image)
    assert list(tmp_path.iterdir()) == []


def test_the_systems_reason_comes_before_that_of_the_library(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*gone/a\.nrrd: no such file or directory"), Staging() as one:
        write_image(one.aside(tmp_path / "gone" / "a.nrrd"), to_image(VALUES, TILTED))


def test_a_file_that_reads_back_differently_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies, as network disks do: what was written is not what is there."""
    written = sitk.WriteImage

    def lying(image: sitk.Image, path: str, **options: object) -> None:
        written(image * 0, path, **options)

    monkeypatch.setattr(sitk, "WriteImage", lying)
    with pytest.raises(OutputError, match="it reads back differently"):
        write_image(tmp_path / "a.nrrd", to_image(VALUES, TILTED))
