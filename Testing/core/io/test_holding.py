"""A folder that one process holds is refused to others until that one ends, however it ends."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from AutofocusCore.errors import InputError, OutputError
from AutofocusCore.io.holding import HELD, OWNER, hold


def _write_and_fail(folder: Path) -> None:
    (folder / "log").write_text("one step", encoding="utf-8")
    raise InputError("This is wrong", "correct it")


def _held(folder: Path) -> AbstractContextManager[None]:
    return hold(folder / HELD, "It is busy", "wait")


def test_a_folder_is_held_by_one_and_free_when_that_one_is_done(tmp_path: Path) -> None:
    with _held(tmp_path):
        with (
            pytest.raises(OutputError, match=rf"It is busy \(process {os.getpid()} on .+\); wait") as busy,
            _held(tmp_path),
        ):
            pass
        assert busy.value.remedy == "wait"
        (tmp_path / HELD / OWNER).write_text("damaged", encoding="utf-8")
        with pytest.raises(OutputError, match="It is busy; wait"), _held(tmp_path):
            pass
    with pytest.raises(InputError), _held(tmp_path):
        raise InputError("This is wrong", "correct it")
    with _held(tmp_path):
        pass


def test_what_fails_at_its_start_leaves_no_folder_and_what_it_has_written_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError), _held(tmp_path / "new" / "run"):
        raise InputError("This is wrong", "correct it")
    if os.name == "posix":  # elsewhere a lock's file cannot be removed while it is held
        assert not (tmp_path / "new").exists()
    with pytest.raises(InputError), _held(tmp_path / "new" / "run"):
        _write_and_fail(tmp_path / "new" / "run")
    assert (tmp_path / "new" / "run" / "log").read_text(encoding="utf-8") == "one step"


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(OutputError, match="file"), _held(tmp_path / "file"):
        pass
