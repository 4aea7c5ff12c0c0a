"""Finds models: those that come with the program, and those in the user's folder.

A model of the user takes precedence over a bundled one of the same name. A damaged model does not affect the others:
`list_models` leaves it out, and `damaged_models` reports it.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import io
import os
import platform
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from AutofocusCore.errors import ModelError, ModelThereError
from AutofocusCore.io.atomic import Staging, write_text
from AutofocusCore.models.bundle import Model, load_files, problems, read_bundle
from AutofocusCore.models.files import read_archive
from AutofocusCore.models.replace_folder import place_folder

ENVIRONMENT = "AUTOFOCUS_MODELS"
EPOCH = (1980, 1, 1, 0, 0, 0)
HIDES_BUNDLED = ".hides-bundled"


def bundled_model_folder() -> Path:
    """Folder of the models that come with the program."""
    return Path(__file__).resolve().parents[1] / "bundles"


def user_model_folder() -> Path:
    """The user's model folder, which need not exist.

    $AUTOFOCUS_MODELS, or `autofocus-segmentation/models` in the system's folder for user data: Windows %LOCALAPPDATA%,
    macOS ~/Library/Application Support, elsewhere ~/.local/share; except on Windows, $XDG_DATA_HOME if it is set.
    Slicer and the command line use the same folder.
    """
    chosen = os.environ.get(ENVIRONMENT, "").strip()
    if chosen:
        return _at_home(chosen).absolute()
    home, system = Path.home(), platform.system()
    data = home / "Library" / "Application Support" if system == "Darwin" else home / ".local" / "share"
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if system == "Windows":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif xdg.startswith("/"):  # the specification says to ignore others
        data = Path(xdg)
    return data / "autofocus-segmentation" / "models"


def _at_home(path: str | os.PathLike[str]) -> Path:
    """The path with ~ replaced by the home folder, if there is such a user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~nosuchuser may be the name of a folder
        return Path(path)


def list_models() -> list[Model]:
    """All sound models by name, with checked files and descriptions; weights are checked by `build`."""
    models: dict[str, Model] = {}
    for _, model in _scan():
        if isinstance(model, Model):
            models.setdefault(model.spec.name, model)
    return [models[name] for name in sorted(models)]


def damaged_models() -> list[tuple[Path, str]]:
    """Folders among the models that are not models, each with the reason."""
    return [(path, str(model)) for path, model in _scan() if isinstance(model, ModelError)]


def find_model(name_or_path: str | os.PathLike[str]) -> Model:
    """The model of that name (upper and lower case do not matter), or in that folder or zip.

    Raises:
        ModelError: there is no such model (the message lists all names and the closest), or it is damaged.
    """
    text = os.fspath(name_or_path)
    if not text:
        raise ModelError("The name of the model is empty", "give a name (see the list of models), a folder or a zip")
    looks_like_path = not isinstance(name_or_path, str) or bool(re.search(r"[/\\]|\.zip$|^\.", text))
    if not looks_like_path:
        damaged = None
        for path, model in _scan(text):
            if isinstance(model, Model) and model.spec.name == text.lower():
                return model
            if isinstance(model, ModelError) and path.name == text:
                damaged = damaged or model
        if damaged is not None:
            raise damaged
        if not Path(text).is_dir():
            raise _unknown(text, [model.spec.name for model in list_models()])
    return read_bundle(_at_home(text))


def import_model(path: str | os.PathLike[str], *, checksum: str | None = None, replace: bool = False) -> Model:
    """Check a model, weights included, and copy it into the user's folder under its name.

    Args:
        path: folder or zip.
        checksum: expected SHA-256 of the zip (or, for a folder, of its weights).
        replace: whether a model of that name may be replaced, or a bundled one hidden.

    Raises:
        ModelError: the model is damaged or unsafe, has another checksum, or its name is taken and `replace` is false.
        OutputError: the user's folder cannot be written.
    """
    path = _at_home(path)
    archive = read_archive(path) if path.is_file() else None
    expected = None if checksum is None else _sha256(checksum)
    if archive is not None and expected not in (None, hashlib.sha256(archive).hexdigest()):
        raise _another_checksum(path)
    model, files = load_files(path, archive)  # the bytes that were checked are those that are installed below
    if archive is None and expected not in (None, model.checksum):
        raise _another_checksum(path)
    name, hides = model.spec.name, _is_bundled(model.spec.name)
    if hides and not replace:
        raise ModelThereError(
            f"A model that comes with the program is named {name!r}", "ask to replace it, to hide that one"
        )
    placed = place_folder(files, user_model_folder() / name, replace=replace)
    if hides:
        note = note_of_hiding(name)
        note.parent.mkdir(exist_ok=True)
        write_text(note, model.identity)
    return dataclasses.replace(model, path=placed)  # not read again: another process may be replacing it


def verify_model(model: Model) -> list[str]:
    """All problems of a model, a sentence each, weights included; empty if it is sound."""
    return problems(model.path, model.checksum)


def export_zip(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write a model as a zip archive. The same model gives the same bytes; `import_model` checks their SHA-256.

    Raises:
        ModelError: the model is damaged.
        OutputError: the archive cannot be written.
    """
    _, files = load_files(model.path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{model.spec.name}/{name}", EPOCH)
            info.external_attr = 0o100644 << 16
            info.create_system = 3  # otherwise Windows and Unix would write different bytes
            archive.writestr(info, files[name], zipfile.ZIP_STORED)
    path = Path(path)
    with Staging() as staging:
        staging.aside(path).write_bytes(buffer.getvalue())
    return path


def _is_bundled(name: str) -> bool:
    return (bundled_model_folder() / name).is_dir()


def note_of_hiding(name: str) -> Path:
    """The file with the identity of the user's model that may hide the bundled one of that name."""
    return user_model_folder() / HIDES_BUNDLED / name


def _placed(model: Model, folder: Path) -> Model | ModelError:
    """A user's model, unless its folder has another name, or it hides a bundled one without permission."""
    name = model.spec.name
    if folder.name.lower() != name:
        cause = f"The model in {folder} calls itself {name!r}, which is not its folder's name"
        return ModelError(cause, "import it with `autofocus models import`, or rename the folder")
    if _is_bundled(name):
        try:
            known = note_of_hiding(name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            known = ""
        if known != model.identity:
            cause = f"The model in {folder} has the name of one that comes with the program, and is not used"
            return ModelError(cause, "move it elsewhere and import it with --replace to use it instead of that one")
    return model


def _scan(only: str | None = None) -> Iterator[tuple[Path, Model | ModelError]]:
    """The user's models, then those that come with the program; ``only``: those in folders of that name."""
    user, bundled = user_model_folder(), bundled_model_folder()
    for folder in (user, bundled):
        try:
            entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        except OSError:  # does not exist yet
            continue
        for entry in entries:
            if entry.name.startswith((".", "_")) or (only is not None and entry.name.lower() != only.lower()):
                continue
            try:
                model = read_bundle(entry)
                yield entry, _placed(model, entry) if folder == user else model
            except ModelError as error:
                yield entry, error


def _unknown(name: str, names: list[str]) -> ModelError:
    if not names:
        return ModelError(f"There is no model {name!r}, nor any other", "import one")
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}? There are {', '.join(names)}" if close else f"there are {', '.join(names)}"
    return ModelError(f"There is no model {name!r}", hint)


def _sha256(checksum: str) -> str:
    expected = checksum.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise ModelError(f"The expected checksum {checksum!r} is no SHA-256", "give its 64 hexadecimal digits")
    return expected


def _another_checksum(path: Path) -> ModelError:
    return ModelError(f"The checksum of {path} is not the expected one", "download it again; do not use this copy")
