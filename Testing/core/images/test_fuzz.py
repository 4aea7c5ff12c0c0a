"""A small sample of the damaged files of `make fuzz`: each is refused in a sentence, or read soundly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from Testing.fuzz.damage import damaged_copy
from Testing.fuzz.judge import judge
from Testing.fuzz.seeds import FAMILIES, write_seeds

SAMPLE = {"NIfTI": 40, "NRRD": 40, "MetaImage": 40, "DICOM": 20, "others": 1, "packed DICOM": 2}


@pytest.mark.parametrize("family", FAMILIES)
def test_damaged_files_are_refused_in_a_sentence_or_read_soundly(tmp_path: Path, family: str, capfd: object) -> None:
    sound = write_seeds(family, tmp_path / "sound")
    for number in range(SAMPLE[family]):
        rng = np.random.default_rng([7, number])
        target = damaged_copy(sound[number % len(sound)], tmp_path / str(number), rng)
        outcome, what = judge(target)
        assert outcome in ("refused", "sound"), f"{target}: {what}"
    assert capfd.readouterr() == ("", "")
