"""What a run leaves behind, where it cannot be written, and where a score is undefined."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from AutofocusCore.errors import OutputError
from Training.loop.record import Record, write_environment


def strict(line: str) -> object:
    """A line as JSON, in which there are no NaN and no Infinity."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_a_file_where_the_run_is_to_lie_is_named(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "afile", tmp_path / "afile" / "run"):
        with pytest.raises(OutputError, match=r"Cannot write .*afile.*; choose a place that you may write to"):
            write_environment(folder, "", torch.device("cpu"), {})


def test_the_dice_of_a_structure_that_no_watched_case_has_is_null_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record(tmp_path, 0, 2, "")
    record.add(1, 0.5, 1e-3, ["a"], [0.25, math.nan])
    record.close()
    assert "Dice [0.25, nan]" in capsys.readouterr().out
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [strict(line)["watched_dice"] for line in lines] == [[0.25, None]]
    going_on = Record(tmp_path, 1, 2, "")
    going_on.add(2, 0.5, 1e-3, ["a"], [math.nan, math.nan])
    going_on.close()
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [strict(line)["watched_dice"] for line in lines] == [[0.25, None], [None, None]]
