"""Removes a model from the user's folder: it is renamed aside in one step, then deleted, so no half of it stays."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from AutofocusCore.errors import ModelError
from AutofocusCore.io.atomic import cannot_write
from AutofocusCore.io.temporary import aside_name, remove_leftovers
from AutofocusCore.models.bundle import read_bundle
from AutofocusCore.models.files import METADATA
from AutofocusCore.models.store import bundled_model_folder, note_of_hiding, user_model_folder


@dataclass(frozen=True)
class RemovedModel:
    """What was removed.

    Args:
        name: of the model.
        version, checksum: its version, and SHA-256 of its weights; empty if it was damaged.
        path: where its folder was.
        uncovers: whether a model of this name comes with the program, and is used again.
    """

    name: str
    version: str
    checksum: str
    path: Path
    uncovers: bool


def remove_model(name: str) -> RemovedModel:
    """Remove a model, sound or damaged, from the user's model folder.

    Args:
        name: of the model, which is that of its folder; upper and lower case do not matter.

    Raises:
        ModelError: the user's folder has no such model; it comes with the program; or the folder is not a model.
        OutputError: it may not be removed.
    """
    folder = _folder_of(name)
    try:
        model = read_bundle(folder)
        version, checksum = model.spec.version, model.checksum
    except ModelError:
        if not (folder / METADATA).is_file():
            raise ModelError(f"{folder} is not a model", "remove it yourself if you do not need it") from None
        version = checksum = ""
    away = aside_name(folder)
    try:
        remove_leftovers(folder.parent)
        folder.rename(away)  # from here on it is gone for every process, as a whole
        note_of_hiding(folder.name.lower()).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if away.is_symlink():
        away.unlink()
    else:
        shutil.rmtree(away, ignore_errors=True)  # what cannot be deleted now goes as a leftover later
    uncovers = (bundled_model_folder() / folder.name.lower()).is_dir()
    return RemovedModel(folder.name.lower(), version, checksum, folder, uncovers)


def _folder_of(name: str) -> Path:
    """The folder in the user's model folder that has this name."""
    mine = user_model_folder()
    if not name or re.search(r"[/\\]", name) or name.startswith("."):
        raise ModelError(f"{name!r} is not the name of a model", f"give the name of a model in {mine}")
    try:
        there = sorted(entry.name for entry in os.scandir(mine) if entry.is_dir() and entry.name[0] not in "._")
    except OSError:
        there = []
    found = next((entry for entry in there if entry == name), None)
    found = found or next((entry for entry in there if entry.lower() == name.lower()), None)
    if found is not None:
        return mine / found
    if (bundled_model_folder() / name.lower()).is_dir():
        raise ModelError(f"The model {name.lower()} comes with the program", "only models of your own can be removed")
    listed = f"there are {', '.join(there)}" if there else "you have none"
    raise ModelError(f"There is no model {name!r} in your model folder {mine}", listed)
