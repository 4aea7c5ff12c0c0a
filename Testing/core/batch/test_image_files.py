"""Which files an image consists of, so that a change of any of them is seen."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from AutofocusCore.batch.image_files import files_of
from AutofocusCore.batch.manifest import fingerprint
from AutofocusCore.jobs.job import Job, Outputs


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.hdr"])
def test_voxels_in_a_file_of_their_own_count(tmp_path: Path, name: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16)), str(tmp_path / name))
    data = next(path for path in tmp_path.iterdir() if path.name != name)
    assert files_of(tmp_path / name) == [tmp_path / name, data]
    job = Job((str(tmp_path / name),), "model", Outputs("out.seg.nrrd"))
    before = fingerprint(job, "identity")
    assert fingerprint(job, "identity") == before
    os.utime(data, ns=(1, 1))
    assert fingerprint(job, "identity") != before
    assert fingerprint(job, "another") != before


@pytest.mark.parametrize(
    ("name", "line", "files"),
    [
        ("b.mhd", "ElementDataFile = voxels.bin\n", ["voxels.bin"]),
        ("b.mhd", "ElementDataFile = with blank.raw\n", ["with blank.raw"]),
        ("b.mhd", "ElementDataFile = LIST\ns1.raw\ns2.raw\n", ["s1.raw", "s2.raw"]),
        ("b.mhd", "ElementDataFile = s%d.raw 1 2 1\n", ["s1.raw", "s2.raw"]),
        ("b.nhdr", "data file: s%01d.raw 1 2 1 2\n", ["s1.raw", "s2.raw"]),
        ("b.nhdr", "datafile: voxels.bin\n", ["voxels.bin"]),
        ("b.mhd", "ElementDataFile = %s%s%n 1 24 1\n", []),
        ("b.mhd", "ElementDataFile = LOCAL\n", []),
        ("b.nii.gz", "ElementDataFile = voxels.bin\n", []),
    ],
)
def test_what_a_header_names_counts(tmp_path: Path, name: str, line: str, files: list[str]) -> None:
    for each in ("voxels.bin", "with blank.raw", "s1.raw", "s2.raw"):
        (tmp_path / each).touch()
    (tmp_path / name).write_text(f"NDims = 3\n{line}", encoding="ascii")
    assert [path.name for path in files_of(tmp_path / name)] == [name, *files]


def test_a_folder_and_a_missing_file_stand_for_themselves(tmp_path: Path) -> None:
    assert files_of(tmp_path) == [tmp_path]
    assert files_of(tmp_path / "missing.mhd") == [tmp_path / "missing.mhd"]
