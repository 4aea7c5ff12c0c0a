"""`autofocus phantom`: the scan, with and without findings."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from AutofocusCore.cli import main
from AutofocusCore.phantom import make_phantom

WITH_FINDINGS = 11  # eight calcifications in the prostate


def test_plain_leaves_out_what_is_found_beside_the_anatomy(tmp_path: Path) -> None:
    plain, found = tmp_path / "plain.nrrd", tmp_path / "found.nrrd"
    assert main(["phantom", str(plain), "--seed", str(WITH_FINDINGS), "--plain"]) == 0
    assert main(["phantom", str(found), "--seed", str(WITH_FINDINGS)]) == 0
    written = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (plain, found)]
    assert (written[0] == sitk.GetArrayFromImage(make_phantom(WITH_FINDINGS, findings=False)[0])).all()
    assert (written[0] != written[1]).any()
