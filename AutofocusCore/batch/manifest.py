"""What was done, so that a batch can go on where it stopped.

OUTDIR/.autofocus-batch/lock                 held while a batch writes there; the system frees it when the process dies
OUTDIR/.autofocus-batch/records/<case>.json  written last, when every file of the case has its final name

A record holds what the case was made from (inputs, model, settings, wanted files) and the checksum of each file. The
case counts as done when both are still as they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from AutofocusCore._version import __version__
from AutofocusCore.batch.image_files import files_of
from AutofocusCore.errors import OutputError
from AutofocusCore.io.atomic import cannot_write, write_text
from AutofocusCore.jobs.job import Job

STATE_FOLDER = ".autofocus-batch"
# What the result does not depend on: where it is computed, and within how much memory.
FREE_SETTINGS = ("device", "memory_limit")
REASONS = {
    "model": "with another model",
    "settings": "with other settings",
    "inputs": "from other images",
    "outputs": "with other results wanted",
    "version": "by another version of this program",
}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this batch.

    Raises:
        OutputError: another batch is writing there.
    """
    from filelock import FileLock, Timeout

    state = folder / STATE_FOLDER
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = FileLock(state / "lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"Another batch is writing to {folder}{_owner(state)}", "wait for it, or write to another folder"
        ) from None
    except OSError as error:
        raise cannot_write(state, error) from error
    try:
        write_text(state / "owner.json", json.dumps({"pid": os.getpid(), "computer": platform.node()}))
        yield
    finally:
        lock.release()


def _owner(state: Path) -> str:
    try:
        owner = json.loads((state / "owner.json").read_text(encoding="utf-8"))
        return f" (process {owner['pid']} on {owner['computer']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def fingerprint(job: Job, identity: str) -> dict[str, Any]:
    """All that a case's result depends on: the model's identity, the settings, and the files of its images.

    Inputs are told apart by size and time, as hashing them would take long.
    """
    settings = dataclasses.asdict(job.settings)
    for name in FREE_SETTINGS:
        del settings[name]
    sources = [*job.images, *([job.settings.roi_mask] if job.settings.roi_mask else [])]
    outputs = {k: v and Path(v).name for k, v in dataclasses.asdict(job.outputs).items()}
    print_ = {
        "model": identity,
        "settings": settings,
        "inputs": [[_state_of(file) for file in files_of(Path(path))] for path in sources],
        "outputs": outputs,
        "version": __version__,
    }
    return dict(json.loads(json.dumps(print_)))  # tuples become lists, as in the record


def _state_of(path: Path) -> list[Any]:
    """Path, size and time of a file; of a folder, those of its files in one checksum."""
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            listing = [[str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
            return [str(path), len(files), hashlib.sha256(json.dumps(listing).encode()).hexdigest()]
        status = path.stat()
        return [str(path), status.st_size, status.st_mtime_ns]
    except OSError:
        return [str(path), None, None]


class Records:
    """The records of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = folder / STATE_FOLDER / "records"

    def done(self, stem: str, print_: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
        """The outcome of a case that is done, else why a case that was done before has to be done again."""
        record = self._load(stem)
        if record is None:
            return None, None
        for key, reason in REASONS.items():
            if record.get("made_from", {}).get(key) != print_[key]:
                return None, f"was done before {reason}"
        if any(self._sum(name) != checksum for name, checksum in record.get("files", {}).items()):
            return None, "was done before, but its files are gone or were changed"
        return dict(record["outcome"]), None

    def save(self, stem: str, print_: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """Note that a case is done; files that an earlier run wrote for it and this one did not are removed."""
        names = [os.path.relpath(path, self._folder).replace(os.sep, "/") for path in outcome["files"]]
        files = {name: self._sum(name) for name in names}
        old = (self._load(stem) or {}).get("files", {})
        record = {"made_from": dict(print_), "files": files, "outcome": dict(outcome)}
        self._records.mkdir(parents=True, exist_ok=True)
        write_text(self._records / f"{stem}.json", json.dumps(record, indent=1))
        for name in old.keys() - files.keys():
            if self._sum(name) == old[name]:
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink()
                    (self._folder / name).parent.rmdir()  # only if it was the last one

    def _load(self, stem: str) -> dict[str, Any] | None:
        try:
            record = json.loads((self._records / f"{stem}.json").read_text(encoding="utf-8"))
            sound = isinstance(record["files"], dict) and isinstance(record["outcome"], dict)
            return record if sound and isinstance(record["made_from"], dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _sum(self, name: str) -> str | None:
        digest = hashlib.sha256()
        try:
            with (self._folder / name).open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError:
            return None
        return digest.hexdigest()
