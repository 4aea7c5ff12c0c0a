"""Where a taught model goes, and how it gets there: whole or not at all."""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from AutofocusCore.errors import ModelThereError, OutputError
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.io.outputs import check_folder
from AutofocusCore.io.temporary import DAY, lock_file
from AutofocusCore.jobs.teach import Taught
from AutofocusCore.models import (
    Model,
    bundled_model_folder,
    export_zip,
    load_bundle,
    user_model_folder,
    write_bundle,
)
from AutofocusCore.models.bundle import LICENCE, load_files
from AutofocusCore.models.files import METADATA
from AutofocusCore.teaching.taught import check_model_name

OLD_DAYS = 30
"""Days after which a lesson is removed that was neither taken up again nor led to a model."""
LOCK_SECONDS = 10.0
"""Within which a process that was ended gives its lesson free."""


def output_place(output: str, *, replace: bool) -> tuple[str, Path]:
    """Name and place of the new model: a name goes into the user's model folder, a path (with a slash, or .zip) there.

    Raises:
        OutputError, ModelError: the name is no model's, or taken.
    """
    zipped = output.lower().endswith(".zip")
    if re.search(r"[/\\]", output) or zipped:
        place = Path(output).expanduser()
        name = place.name[: -len(".zip")] if zipped else place.name
    else:
        name, place = output, user_model_folder() / output
    check_model_name(name, output or repr(output))
    if place == user_model_folder() / name and (bundled_model_folder() / name).is_dir():
        raise OutputError(f"A model that comes with the program is named {name!r}", "give the new one its own name")
    _check_free(place, replace=replace)
    if place.exists() and not (zipfile.is_zipfile(place) if zipped else (place / METADATA).is_file()):
        raise OutputError(f"{place} exists and is not a model", "choose another name")
    folder = next(parent for parent in (place.parent, *place.parents) if parent.is_dir())
    check_folder(folder, place)
    return name, place


def lesson_file(place: Path) -> Path:
    """Where the lesson of a model to come is kept."""
    return place.with_name(f".{place.name}.lesson")


@contextlib.contextmanager
def kept_lesson(place: Path, *, anew: bool = False) -> Iterator[Path]:
    """File in which the lesson of a model to come is kept, beside where that goes; for one process at a time.

    Whoever writes the model removes it. Until then the same lesson goes on from it, and one that was not better is at
    its end at once. Lessons of other models in that folder that were left long ago are removed.

    Args:
        place: of the model to come.
        anew: whether the lesson is removed at the beginning too.

    Raises:
        OutputError: another process teaches the same model, or the file system refused.
    """
    from filelock import Timeout

    file = lesson_file(place)
    made = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
    lock = lock_file(file.with_name(f"{file.name}.lock"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotImplementedError):  # a shared disk without locks
            lock.acquire(timeout=LOCK_SECONDS)
        _remove_old_lessons(file)
        if anew:
            file.unlink(missing_ok=True)
    except Timeout:
        cause = f"Another process is teaching {place.name} at the moment"
        raise OutputError(cause, "wait for it, or give the new model another name") from None
    except OSError as error:
        raise cannot_write(file, error) from error
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release(force=True)
        for folder in made:
            with contextlib.suppress(OSError):  # it is in use
                folder.rmdir()


def _remove_old_lessons(own: Path) -> None:
    for file in own.parent.glob(".*.lesson*"):
        with contextlib.suppress(OSError):
            if not file.name.startswith(own.name) and time.time() - file.stat().st_mtime > OLD_DAYS * DAY:
                file.unlink()


def _check_free(place: Path, *, replace: bool) -> None:
    if place.exists() and not replace:
        raise ModelThereError(f"There is already a model at {place}", "choose another name, or add --replace")


def write_taught(taught: Taught, parent: Model, place: Path, *, replace: bool) -> Model:
    """Write the new model as a folder or zip, whole or not at all.

    Raises:
        ModelThereError: a model of that name was made meanwhile, and may not be replaced.
        OutputError: it cannot be written.
    """
    _check_free(place, replace=replace)
    licence = load_files(parent.path)[1][LICENCE].decode("utf-8")
    state = taught.model.network.state_dict()
    if place.suffix.lower() != ".zip":
        return load_bundle(write_bundle(place, taught.model.spec, state, licence))
    with tempfile.TemporaryDirectory() as folder:
        whole = load_bundle(write_bundle(Path(folder) / taught.model.spec.name, taught.model.spec, state, licence))
        return load_bundle(export_zip(whole, place))
