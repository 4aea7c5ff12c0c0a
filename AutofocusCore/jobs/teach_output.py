"""Where a taught model goes, and how it gets there: whole or not at all."""

from __future__ import annotations

import re
import tempfile
import zipfile
from pathlib import Path

from AutofocusCore.errors import ModelThereError, OutputError
from AutofocusCore.io.outputs import check_folder
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
        if (bundled_model_folder() / name).is_dir():
            raise OutputError(f"A model that comes with the program is named {name!r}", "give the new one its own name")
    check_model_name(name, output)
    if place.exists() and not replace:
        raise ModelThereError(f"There is already a model at {place}", "choose another name, or add --replace")
    if place.exists() and not (zipfile.is_zipfile(place) if zipped else (place / METADATA).is_file()):
        raise OutputError(f"{place} exists and is not a model", "choose another name")
    folder = next(parent for parent in (place.parent, *place.parents) if parent.is_dir())
    check_folder(folder, place)
    return name, place


def lesson_place(place: Path) -> Path:
    """The file in which the lesson of a model to come is kept, beside where it goes."""
    return place.with_name(f".{place.name}.lesson")


def write_taught(taught: Taught, parent: Model, place: Path) -> Model:
    """Write the new model as a folder or zip, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    licence = load_files(parent.path)[1][LICENCE].decode("utf-8")
    state = taught.model.network.state_dict()
    if place.suffix.lower() != ".zip":
        return load_bundle(write_bundle(place, taught.model.spec, state, licence))
    with tempfile.TemporaryDirectory() as folder:
        whole = load_bundle(write_bundle(Path(folder) / taught.model.spec.name, taught.model.spec, state, licence))
        return load_bundle(export_zip(whole, place))
