"""The manifest of a batch: which cases are finished, so that a batch can be continued.

OUTDIR/.autofocus-batch/lock                 held while a batch writes there; the system frees it when the process dies
OUTDIR/.autofocus-batch/parts/<case>/        where a case's files are written
OUTDIR/.autofocus-batch/ready/<case>/        all files of a case and its record, on their way to their final names
OUTDIR/.autofocus-batch/records/<case>.json  written last, when every file of the case has its final name

One step makes a case done: its folder in parts/ is renamed into ready/. If the batch is killed before that step,
nothing of the case has changed; if it is killed after it, the next start moves the files in ready/ to their final
names. Files of an older and a newer result are side by side no longer than that takes.

A record holds what the case was made from (inputs, model, settings, wanted files) and the checksum of each file. The
case counts as done if both are unchanged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from AutofocusCore._version import __version__
from AutofocusCore.batch.image_files import files_of
from AutofocusCore.io.atomic import cannot_write, write_text
from AutofocusCore.io.holding import hold
from AutofocusCore.jobs.job import Job

STATE_FOLDER = ".autofocus-batch"
PARTS, READY, RECORD = "parts", "ready", ".record.json"
# Settings without influence on the result: device and memory.
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
    cause, remedy = f"Another batch is writing to {folder}", "wait for it, or write to another folder"
    with hold(folder / STATE_FOLDER, cause, remedy):
        yield


def fingerprint(job: Job, identity: str) -> dict[str, Any]:
    """Everything that a case's result depends on: the model's identity, the settings, and the files of its images.

    Inputs are identified by size and time, because checksums would take long.
    """
    settings = dataclasses.asdict(job.settings)
    for name in FREE_SETTINGS:
        del settings[name]
    sources = [*job.images, *([job.settings.roi_mask] if job.settings.roi_mask else [])]
    outputs = {k: v and Path(v).name for k, v in dataclasses.asdict(job.outputs).items()}
    made_from = {
        "model": identity,
        "settings": settings,
        "inputs": [[_state_of(file) for file in files_of(Path(path))] for path in sources],
        "outputs": outputs,
        "version": __version__,
    }
    return dict(json.loads(json.dumps(made_from)))  # tuples become lists, as in the record


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


class Manifest:
    """The manifest of a batch's folder: a record for each finished case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / STATE_FOLDER
        self._records = self._state / "records"

    def finished_outcome(self, stem: str, made_from: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
        """The outcome of a finished case; else None, with the reason if it was finished before and must be repeated."""
        record = self._load(stem)
        if record is None:
            return None, None
        for key, reason in REASONS.items():
            if record.get("made_from", {}).get(key) != made_from[key]:
                return None, f"was done before {reason}"
        if any(self._sum(name) != checksum for name, checksum in record.get("files", {}).items()):
            return None, "was done before, but its files are gone or were changed"
        return dict(record["outcome"]), None

    def new_part(self, stem: str) -> Path:
        """A new, empty folder for the files of a case."""
        return _emptied(self._state / PARTS / stem)

    def finish(self, stem: str, made_from: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
        """Give the files of a case in `new_part` their final names, and record that it is finished.

        Files of an earlier run that this run did not write are removed.

        Returns:
            The outcome with the final names.

        Raises:
            OutputError: a file cannot get its name.
        """
        part, ready = self._state / PARTS / stem, self._state / READY / stem
        names = [Path(path).relative_to(part).as_posix() for path in outcome["files"]]
        final = {**outcome, "files": [str(self._folder / name) for name in names]}
        files = {name: _sum_of(part / name) for name in names}
        old = (self._load(stem) or {}).get("files", {})
        record = {"made_from": dict(made_from), "files": files, "outcome": final, "replaces": old}
        try:
            write_text(part / RECORD, json.dumps(record, indent=1))
            shutil.rmtree(ready, ignore_errors=True)
            ready.parent.mkdir(parents=True, exist_ok=True)
            part.rename(ready)
            self._move_to_final_names(stem)
        except OSError as error:
            raise cannot_write(self._folder / stem, error) from error
        return final

    def recover(self) -> None:
        """Move the files that a killed batch had ready to their final names, and remove those of unfinished cases."""
        for ready in _folders_in(self._state / READY):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                self._move_to_final_names(ready.name)
        self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove files of cases that were not finished."""
        for place in (PARTS, READY):
            shutil.rmtree(self._state / place, ignore_errors=True)

    def _move_to_final_names(self, stem: str) -> None:
        """Move the files of a ready case to their final names; can be repeated after an interruption."""
        ready = self._state / READY / stem
        record = json.loads((ready / RECORD).read_text(encoding="utf-8"))
        for name in record["files"]:
            if (ready / name).exists():
                (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
                (ready / name).replace(self._folder / name)
        for name, checksum in record.pop("replaces", {}).items():
            if name not in record["files"] and self._sum(name) == checksum:
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink()
                    (self._folder / name).parent.rmdir()  # only if it was empty
        self._records.mkdir(parents=True, exist_ok=True)
        write_text(self._records / f"{stem}.json", json.dumps(record, indent=1))
        shutil.rmtree(ready, ignore_errors=True)

    def _load(self, stem: str) -> dict[str, Any] | None:
        try:
            record = json.loads((self._records / f"{stem}.json").read_text(encoding="utf-8"))
            sound = isinstance(record["files"], dict) and isinstance(record["outcome"], dict)
            return record if sound and isinstance(record["made_from"], dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _sum(self, name: str) -> str | None:
        return _sum_of(self._folder / name)


def _sum_of(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _folders_in(place: Path) -> list[Path]:
    try:
        return [entry for entry in place.iterdir() if entry.is_dir()]
    except OSError:
        return []
