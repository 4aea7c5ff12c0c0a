"""Files that get their names together: all of them or none, whatever the file system or Ctrl-C does in between."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType

import pytest

from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import Staging, discard_all

NAMES = ("a.nrrd", "b.csv", "c.seg.nrrd")


def write(folder: Path, text: str = "new") -> None:
    with Staging() as staging:
        for name in NAMES:
            staging.aside(folder / name).write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, parts included, and what is in it."""
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}


def at_rename(monkeypatch: pytest.MonkeyPatch, number: int, action: object) -> None:
    """Do something instead of giving the file of that number, from 1, its name, or after it, where that returns."""
    real, count = Path.replace, iter(range(1, 100))

    def replace(path: Path, target: Path) -> Path:
        result = path
        if target.name not in NAMES:  # set aside
            return real(path, target)
        now = next(count)
        if now != number or action is not fail:
            result = real(path, target)
        if now == number:
            action()  # type: ignore[operator]
        return result

    monkeypatch.setattr(Path, "replace", replace)


def fail() -> None:
    raise PermissionError(13, "Permission denied")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_folder_in_the_way_of_one_file_keeps_all_from_their_names(tmp_path: Path) -> None:
    (tmp_path / "c.seg.nrrd").mkdir()
    with pytest.raises(OutputError, match=r"Cannot write .*c\.seg\.nrrd: is a directory"):
        write(tmp_path)
    assert contents(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["c.seg.nrrd"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_rename_that_fails_takes_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    at_rename(monkeypatch, number, fail)
    with pytest.raises(OutputError, match=r"Cannot write .*: permission denied"):
        write(tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize(("number", "action"), [(1, fail), (2, fail), (3, fail), (1, interrupt), (2, interrupt)])
def test_files_that_were_replaced_come_back_when_a_later_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, action: object, links: bool
) -> None:
    write(tmp_path, "old")
    (tmp_path / "b.csv").unlink()
    if not links:  # as on exFAT

        def no_links(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
    at_rename(monkeypatch, number, action)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write(tmp_path)
    monkeypatch.undo()
    assert contents(tmp_path) == {"a.nrrd": "old", "c.seg.nrrd": "old"}


def test_what_was_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, "old")
    write(tmp_path, "new")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "new")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_signal_while_files_get_their_names_waits_until_all_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    seen: list[dict[str, str]] = []

    def handle(signal_number: int, frame: FrameType | None) -> None:
        seen.append(contents(tmp_path))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        at_rename(monkeypatch, number, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path)
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [dict.fromkeys(NAMES, "new")] == [contents(tmp_path)]


def test_another_thread_names_its_files_without_touching_signals(tmp_path: Path) -> None:
    thread = threading.Thread(target=write, args=(tmp_path,))
    thread.start()
    thread.join()
    assert contents(tmp_path) == dict.fromkeys(NAMES, "new")


def test_whoever_ends_the_process_waits_until_all_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []

    def end() -> None:
        discard_all()
        seen.append(contents(tmp_path))

    ending = threading.Thread(target=end)

    def begin_to_end() -> None:
        ending.start()
        ending.join(timeout=0.2)  # time enough to remove the parts, if it did not wait

    at_rename(monkeypatch, 1, begin_to_end)
    write(tmp_path)
    ending.join()
    assert seen == [dict.fromkeys(NAMES, "new")]
