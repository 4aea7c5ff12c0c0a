"""Temporary folders of patients' images go when they are done with, and at the next start if a crash left them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from AutofocusSegmentationLib.worker.last_words import ErrorStream, why_it_ended
from AutofocusSegmentationLib.worker.private_folder import LOCK, PREFIX, PrivateFolder, remove_leftovers


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folders lie in the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_crashed_application_left_is_removed_and_nothing_else(elsewhere: Path) -> None:
    alive = PrivateFolder()
    (alive.path / "run-1").mkdir()
    crash = "import sys, os; sys.path[:0] = sys.argv[2:]; import tempfile; tempfile.tempdir = sys.argv[1]\n"
    crash += "from AutofocusSegmentationLib.worker.private_folder import PrivateFolder\n"
    crash += "(PrivateFolder().path / 'channel-1.nrrd').write_bytes(b'patient'); os._exit(9)"
    root = Path(__file__).resolve().parents[3]
    subprocess.run(
        [sys.executable, "-c", crash, str(elsewhere), str(root), str(root / "AutofocusSegmentation")], check=False
    )
    (left,) = [path for path in elsewhere.glob(f"{PREFIX}*") if path != alive.path]
    assert (left / "channel-1.nrrd").is_file()
    strange = elsewhere / f"{PREFIX}of-somebody-else"
    strange.mkdir()
    (strange / "notes.txt").write_text("no lock file: none of ours")
    (elsewhere / f"{PREFIX}link").symlink_to(alive.path)
    assert remove_leftovers() == 1
    assert not left.exists()
    assert (alive.path / "run-1").is_dir(), "somebody works there"
    assert strange.is_dir()
    alive.remove()
    assert not alive.path.exists()


def test_a_folder_is_private_and_its_lock_is_no_file_of_others_for_the_worker() -> None:
    folder = PrivateFolder()
    assert LOCK.startswith(".")
    assert folder.path.stat().st_mode & 0o077 == 0
    folder.remove()


@pytest.mark.parametrize(
    ("code", "lines", "cause", "remedy"),
    [
        (-9, [], "ran out of memory", "close other programs"),
        (1, ["Traceback", "MemoryError: Unable to allocate 9 GiB"], "ran out of memory", "close other programs"),
        (
            1,
            ["ModuleNotFoundError: No module named 'numpy'"],
            "No module named 'numpy'",
            "install this extension again",
        ),
        (-11, ["Fatal Python error: Segmentation fault"], "Segmentation fault", "report it"),
        (3, [], "exit status 3", "report it"),
    ],
)
def test_the_reason_is_what_the_process_said_and_lack_of_memory_only_where_that_is_likely(
    code: int, lines: list[str], cause: str, remedy: str
) -> None:
    told = why_it_ended(code, lines)
    assert cause in told[0]
    assert remedy in told[1]
    assert ("memory" in told[0]) == ("memory" in cause)


def test_the_error_stream_is_read_once(tmp_path: Path) -> None:
    stream = ErrorStream(tmp_path / "log")
    assert stream.news() == [], "not there yet"
    with (tmp_path / "log").open("w") as file:
        file.write("one\n\ntwo\n")
        file.flush()
        assert stream.news() == ["one", "two"]
        file.write("three\n")
        file.flush()
        assert stream.news() == ["three"]
