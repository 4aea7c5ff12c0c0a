"""Private temporary folders go with their process, and with the next one where it could not clean up."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from AutofocusCore.io.temporary import PrivateFolder, private_temporary_files, remove_abandoned
from Testing import fork_server

ROOT = Path(__file__).resolve().parents[3]
CRASH = """
import os, sys
from pathlib import Path
from AutofocusCore.io.temporary import PrivateFolder
folder = PrivateFolder(Path(sys.argv[1]) if len(sys.argv) > 1 else None).path()
(folder / "plain.nii").write_bytes(b"a scan")
print(folder, flush=True)
os._exit(9)
"""


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def crashed(*arguments: Path) -> Path:
    command = [sys.executable, "-c", CRASH, *map(str, arguments)]
    done = fork_server.run(command, cwd=ROOT, env=dict(os.environ))
    assert done.returncode == 9, done.stderr
    return Path(done.stdout.strip())


def test_the_folder_of_a_crashed_process_is_removed_by_the_next(temporary_files: Path) -> None:
    left = crashed()
    given = crashed(temporary_files / "autofocus-given")
    assert sorted(path.name for path in left.iterdir()) == [".lock", ".owner", "plain.nii"]
    assert remove_abandoned() == 2
    assert not left.exists()
    assert not given.exists()


def test_folders_in_use_being_made_or_of_others_stay(temporary_files: Path) -> None:
    mine = PrivateFolder()
    in_use = mine.path()
    (temporary_files / "autofocus-just-made").mkdir()
    (temporary_files / "other").mkdir()
    (temporary_files / "other" / ".owner").touch()
    outside = temporary_files / "other" / "precious"
    outside.mkdir()
    (outside / ".owner").touch()
    (temporary_files / "autofocus-link").symlink_to(outside)
    assert remove_abandoned() == 0
    assert in_use.is_dir()
    assert outside.is_dir()
    mine.remove()
    assert not in_use.exists()
    mine.remove()  # again does no harm


def test_nobody_else_may_look_into_it() -> None:
    folder = PrivateFolder()
    if os.name == "posix":
        assert folder.path().stat().st_mode & 0o077 == 0
    assert folder.path() == folder.path()
    folder.remove()


def test_a_given_folder_goes_too(temporary_files: Path) -> None:
    folder = PrivateFolder(temporary_files / "given")
    (folder.path() / "channel-1.nrrd").write_bytes(b"a scan")
    folder.remove()
    assert list(temporary_files.iterdir()) == []


def test_processes_that_are_started_later_do_not_make_a_removed_folder_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with private_temporary_files():  # what PyTorch does when it is imported for training: cache_dir_utils.cache_dir()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / "torchinductor_me")
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "the user's own")
    with private_temporary_files():
        pass
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "the user's own"


def test_temporary_files_of_a_block_go_with_it(temporary_files: Path) -> None:
    left = crashed()
    with private_temporary_files():
        assert not left.exists()
        made = Path(tempfile.mkdtemp())
        assert made.parent.parent == temporary_files
    assert list(temporary_files.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary_files)


def test_a_given_folder_that_holds_something_else_keeps_it(temporary_files: Path) -> None:
    (temporary_files / "mine").mkdir()
    (temporary_files / "mine" / "precious").touch()
    folder = PrivateFolder(temporary_files / "mine")
    (folder.path() / "scan").touch()
    folder.remove()
    assert [path.name for path in (temporary_files / "mine").iterdir()] == ["precious"]
