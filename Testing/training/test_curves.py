"""The picture of how a run went."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError
from Training.curves import draw


def test_a_run_is_drawn_with_and_without_attention_and_watched_cases(balls_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(balls_run / "config.toml", run)
    lines = [{"step": step, "loss": 1 / step} for step in range(1, 6)]
    for more in ({}, {"attention_sd": [0.1, 0.2], "watched_dice": [0.5, None]}):
        text = "".join(json.dumps({**line, **more}) + "\n" for line in lines)
        (run / "log.jsonl").write_text(text, encoding="utf-8")
        assert draw(run, tmp_path / "curves.png").stat().st_size > 10_000


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log\.jsonl cannot be used"):
        draw(tmp_path, tmp_path / "curves.png")
