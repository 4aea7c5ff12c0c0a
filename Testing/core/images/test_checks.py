"""Names that would end the whole process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.images import frame_count, read_image
from AutofocusCore.io.texts import check_name


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the file system refuses such names itself")
@pytest.mark.parametrize("name", [b"sc\xffan.nii.gz", b"sc\xffan"])
def test_a_name_that_is_not_unicode_is_refused_before_it_can_kill_the_process(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.mkdir() if path.suffix == "" else path.write_bytes(b"anything")
    for read in (read_image, frame_count):
        with pytest.raises(InputError, match="rename it") as caught:
            read(path)
        assert "sc?an" in str(caught.value)


def test_an_output_whose_name_is_not_unicode_is_an_output_error() -> None:
    check_name("é漢 a.nii.gz", OutputError)
    with pytest.raises(OutputError, match="rename it"):
        check_name("a\udcff.nii.gz", OutputError)
