"""Where models are found: those that came with the program, and the user's own folder.

A model of the user's has precedence over a bundled one of the same name. A damaged model in a folder never hides the
others: `list_models` leaves it out and `damaged_models` tells of it.
"""

from __future__ import annotations

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
from AutofocusCore.io.atomic import Staging
from AutofocusCore.models.bundle import Model, load_bundle, problems, read_bundle
from AutofocusCore.models.files import WEIGHTS, read_files
from AutofocusCore.models.replace_folder import place_folder

ENVIRONMENT = "AUTOFOCUS_MODELS"
EPOCH = (1980, 1, 1, 0, 0, 0)


def bundled_model_folder() -> Path:
    """The folder of the models that come with the program."""
    return Path(__file__).resolve().parents[1] / "bundles"


def user_model_folder() -> Path:
    """The user's own model folder, which need not exist.

    $AUTOFOCUS_MODELS, or `autofocus-segmentation/models` in the system's place for user data: Windows
    %LOCALAPPDATA%, macOS ~/Library/Application Support, elsewhere ~/.local/share; outside of Windows $XDG_DATA_HOME
    where it is set. Slicer and the command line find the same folder.
    """
    chosen = os.environ.get(ENVIRONMENT, "").strip()
    if chosen:
        return Path(chosen).expanduser().absolute()
    return _user_data_folder() / "autofocus-segmentation" / "models"


def _user_data_folder() -> Path:
    home, system = Path.home(), platform.system()
    if system == "Windows":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    xdg = os.environ.get("XDG_DATA_HOME", "")
    if xdg.startswith("/"):  # the specification: others are to be ignored
        return Path(xdg)
    return home / "Library" / "Application Support" if system == "Darwin" else home / ".local" / "share"


def list_models() -> list[Model]:
    """All sound models by name, files and descriptions checked; weights are checked on `build`."""
    models: dict[str, Model] = {}
    for _, model in _scan():
        if isinstance(model, Model):
            models.setdefault(model.spec.name, model)
    return [models[name] for name in sorted(models)]


def damaged_models() -> list[tuple[Path, str]]:
    """Folders among the models that are none, each with a sentence that says why."""
    return [(path, str(model)) for path, model in _scan() if isinstance(model, ModelError)]


def find_model(name_or_path: str | os.PathLike[str]) -> Model:
    """The model of that name (case does not matter), or at that folder or zip.

    Raises:
        ModelError: none of that name (the message lists the names and the closest), or a damaged one.
    """
    text = os.fspath(name_or_path)
    looks_like_path = not isinstance(name_or_path, str) or bool(re.search(r"[/\\]|\.zip$|^\.", text))
    if not looks_like_path:
        scanned = list(_scan())
        for _, model in scanned:
            if isinstance(model, Model) and model.spec.name == text.lower():
                return model
        for path, model in scanned:
            if isinstance(model, ModelError) and path.name == text:
                raise model
        if not Path(text).is_dir():
            raise _unknown(text, sorted({m.spec.name for _, m in scanned if isinstance(m, Model)}))
    return read_bundle(Path(text).expanduser())


def import_model(path: str | os.PathLike[str], *, checksum: str | None = None, replace: bool = False) -> Model:
    """Check a model to the last weight and copy it into the user's folder under its name.

    Args:
        path: folder or zip.
        checksum: SHA-256 that the zip (or, for a folder, its weights) must have, as published beside it.
        replace: whether a model of that name may be replaced, or a bundled one be hidden.

    Raises:
        ModelError: damaged, unsafe or another checksum; or the name is taken and not to be replaced.
        OutputError: the user's folder cannot be written.
    """
    path = Path(path).expanduser()
    if checksum is not None:
        _check_checksum(path, checksum)
    model = load_bundle(path)
    name = model.spec.name
    if not replace and (bundled_model_folder() / name).is_dir():
        raise ModelThereError(
            f"A model that comes with the program is named {name!r}", "ask to replace it, to hide that one"
        )
    files = read_files(path)
    if hashlib.sha256(files[WEIGHTS]).hexdigest() != model.checksum:
        raise ModelError(f"The model {path} changed while it was imported", "import it again")
    return read_bundle(place_folder(files, user_model_folder() / name, replace=replace))


def verify_model(model: Model) -> list[str]:
    """All that is wrong with a model, a sentence each, down to the last weight; none for a sound one."""
    return problems(model.path, model.checksum)


def export_zip(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write a model as a zip archive to share; the same model is the same bytes, whose SHA-256 `import_model` checks.

    Raises:
        ModelError: the model is damaged.
        OutputError: the archive cannot be written.
    """
    load_bundle(model.path)
    files = read_files(model.path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{model.spec.name}/{name}", EPOCH)
            info.external_attr = 0o100644 << 16
            info.create_system = 3  # else Windows and Unix would write different bytes
            archive.writestr(info, files[name], zipfile.ZIP_STORED)
    path = Path(path)
    with Staging() as staging:
        staging.aside(path).write_bytes(buffer.getvalue())
    return path


def _scan() -> Iterator[tuple[Path, Model | ModelError]]:
    for folder in (user_model_folder(), bundled_model_folder()):
        try:
            entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
        except OSError:  # not there yet
            continue
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            try:
                yield entry, read_bundle(entry)
            except ModelError as error:
                yield entry, error


def _unknown(name: str, names: list[str]) -> ModelError:
    if not names:
        return ModelError(f"There is no model {name!r}, nor any other", "import one")
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]!r}? There are {', '.join(names)}" if close else f"there are {', '.join(names)}"
    return ModelError(f"There is no model {name!r}", hint)


def _check_checksum(path: Path, checksum: str) -> None:
    expected = checksum.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", expected):
        raise ModelError(f"The expected checksum {checksum!r} is no SHA-256", "give its 64 hexadecimal digits")
    try:
        data = (path / WEIGHTS if path.is_dir() else path).read_bytes()
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}", "check the path") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise ModelError(f"The checksum of {path} is not the expected one", "download it again; do not use this copy")
