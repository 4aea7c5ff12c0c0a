"""A model as a MONAI bundle. It is written completely or not at all, and refused if a file does not match its checksum.

configs/metadata.json       description (spec.py)
configs/inference.json      configuration for MONAI (monai_config.py)
models/model.safetensors    weights (weights.py)
docs/README.md              model card (card.py)
LICENSE
checksums.json              SHA-256 of every other file
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import ModelError
from AutofocusCore.models.card import model_card
from AutofocusCore.models.files import CHECKSUMS, METADATA, WEIGHTS, check_names, read_files
from AutofocusCore.models.monai_config import check_config, inference_config, parse_json
from AutofocusCore.models.parts import is_text, require
from AutofocusCore.models.replace_folder import place_folder
from AutofocusCore.models.spec import ModelSpec
from AutofocusCore.models.weights import (
    check_header,
    check_shapes,
    check_weights,
    network_of,
    pack_weights,
    unpack_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from AutofocusCore.networks.build import Network

LICENCE = "LICENSE"
GET_ANOTHER = "get the model from its source again"
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that an unexpected description may raise; one such model must not affect the others."""


@dataclass(frozen=True)
class Model:
    """A model on disk.

    Args:
        spec: its description.
        path: folder or zip.
        checksum: SHA-256 of the weights, in hexadecimal.
        identity: SHA-256 over all of its files, in hexadecimal: two models are the same only if it is equal.
            Equal weights with another spacing, window or architecture are another model.
        weights: the weights' file as it was read and checked. The network is built from these bytes, whatever happens
            to the file afterwards.
    """

    spec: ModelSpec
    path: Path
    checksum: str
    identity: str
    weights: bytes = field(repr=False, compare=False)

    def build(self) -> Network:
        """The network with its weights, float32 on the CPU, in evaluation mode.

        Raises:
            ModelError: the weights do not fit the architecture, or hold NaN.
        """
        with naming(self.path):
            return _network(self.spec, self.weights)

    def to_record(self) -> dict[str, str]:
        """Name and checksums, for the worker's answers and for provenance."""
        return {"name": self.spec.name, "sha256": self.checksum, "identity": self.identity}


def write_bundle(
    folder: str | os.PathLike[str], spec: ModelSpec, state_dict: Mapping[str, Tensor], licence_text: str
) -> Path:
    """Write a bundle; an existing bundle is replaced. The same model gives the same bytes on every machine.

    Args:
        folder: folder of the bundle; its name should be the model's name.
        spec: description; `spec.architecture` must build the network that the weights belong to.
        state_dict: weights; floating-point ones become float32.
        licence_text: the full text of the weights' licence.

    Raises:
        ModelError: the weights do not fit, or the folder exists and is not a bundle.
        OutputError: the folder cannot be written.
    """
    require(is_text(licence_text), "licence text", licence_text, "give the whole text of the licence")
    weights = pack_weights(state_dict)
    check_weights(unpack_weights(weights), network_of(spec.architecture))
    files = {
        METADATA: _json(spec.to_metadata()),
        "configs/inference.json": _json(inference_config(spec)),
        WEIGHTS: weights,
        "docs/README.md": model_card(spec).encode("utf-8"),
        LICENCE: (licence_text.strip() + "\n").replace("\r\n", "\n").encode("utf-8"),
    }
    sums = {name: sha256(files[name]) for name in sorted(files)}
    files[CHECKSUMS] = _json({"algorithm": "sha256", "files": sums})
    for check in CHECKS:
        check(files)
    return place_folder(files, Path(folder), replace=True)


def read_bundle(path: str | os.PathLike[str]) -> Model:
    """Read the model in a folder or zip; check files, checksums and description, but not the weights (no torch).

    Raises:
        ModelError: it is missing, damaged, unsafe, or not a model.
    """
    path = Path(path).absolute()
    return _checked(path, lambda: read_files(path), whole=False)[0]


def load_bundle(path: str | os.PathLike[str]) -> Model:
    """Read the model in a folder or zip and check everything, weights included; nothing is unpacked or executed.

    Raises:
        ModelError: it is missing, damaged, unsafe, not a model, or its weights do not fit the architecture.
    """
    return load_files(path)[0]


def load_files(path: str | os.PathLike[str], archive: bytes | None = None) -> tuple[Model, dict[str, bytes]]:
    """As `load_bundle`, and return the checked files by their names in the model.

    Args:
        path: folder or zip.
        archive: the bytes of the zip, if already read.
    """
    path = Path(path).absolute()
    return _checked(path, lambda: read_files(path, archive), whole=True)


def _checked(path: Path, read: Callable[[], dict[str, bytes]], *, whole: bool) -> tuple[Model, dict[str, bytes]]:
    with naming(path):
        try:
            files = read()
            for check in CHECKS:
                check(files)
            spec = ModelSpec.from_metadata(parse_json(files[METADATA], METADATA))
            if whole:
                _network(spec, files[WEIGHTS])
            return Model(spec, path, sha256(files[WEIGHTS]), identity_of(files), files[WEIGHTS]), files
        except UNREADABLE as error:
            raise _unreadable(error) from None


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network of the model in a folder or zip, with its weights; called by configs/inference.json."""
    return read_bundle(path).build()


def problems(path: str | os.PathLike[str], checksum: str | None = None) -> list[str]:
    """All problems of the model at a path, a sentence each; empty if it is sound.

    Args:
        path: folder or zip.
        checksum: expected SHA-256 of the weights.
    """
    path = Path(path).absolute()
    found: list[ModelError] = []
    try:
        files = read_files(path)
        found += _checksum_errors(files)
        for check in CHECKS:
            found += [] if check is _check_sums else _errors(check, files)
        spec = ModelSpec.from_metadata(parse_json(files.get(METADATA, b""), METADATA))
        _network(spec, files.get(WEIGHTS, b""))
        if checksum is not None and sha256(files[WEIGHTS]) != checksum:
            found.append(ModelError("The weights are not those that were expected", GET_ANOTHER))
    except ModelError as error:
        found.append(error)
    except UNREADABLE as error:
        found.append(_unreadable(error))
    return list(dict.fromkeys(str(named(error, path)) for error in found))


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def identity_of(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents of all files of a model, in hexadecimal."""
    sums = [[name, sha256(files[name])] for name in sorted(files)]
    return sha256(json.dumps(sums).encode("ascii"))


def _unreadable(error: Exception) -> ModelError:
    first = next(iter(str(error).splitlines()), "")[:200]
    return ModelError(f"The model cannot be understood ({type(error).__name__}: {first})", GET_ANOTHER)


def _network(spec: ModelSpec, weights: bytes) -> Network:
    state = unpack_weights(weights)
    check_shapes(state, spec.architecture)  # before memory is allocated for weights that may not fit
    network = network_of(spec.architecture)
    check_weights(state, network)
    network.load_state_dict(state)
    return network.eval()


def _json(value: Any) -> bytes:
    # ASCII alone, for readers that take the system's encoding, as MONAI's do.
    return (json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def _check_there(files: Mapping[str, bytes]) -> None:
    for name in (METADATA, WEIGHTS, CHECKSUMS, LICENCE):
        if name not in files:
            raise ModelError(f"The model has no {name}", GET_ANOTHER)


def _check_sums(files: Mapping[str, bytes]) -> None:
    for error in _checksum_errors(files):
        raise error


PAGE = "README.md"
"""README that model-hosting sites require in a folder; it is not used."""


def _checksum_errors(files: Mapping[str, bytes]) -> Iterator[ModelError]:
    table = parse_json(files.get(CHECKSUMS, b"null"), CHECKSUMS)
    sums = table.get("files") if isinstance(table, dict) and table.get("algorithm") == "sha256" else None
    if not isinstance(sums, dict) or not all(isinstance(value, str) for value in sums.values()):
        yield ModelError("The model's checksums.json is not a table of SHA-256 sums", GET_ANOTHER)
        return
    check_names(sums)
    for name in sorted(sums.keys() - files.keys()):
        yield ModelError(f"The model's {name} is missing", GET_ANOTHER)
    for name in sorted(files.keys() - sums.keys() - {CHECKSUMS, PAGE}):
        yield ModelError(f"The model holds {name!r}, which is not in its checksums", "remove that file")
    for name in sorted(sums.keys() & files.keys()):
        if sha256(files[name]) != sums[name].lower():
            yield ModelError(f"The model's {name} is damaged or was changed: its checksum differs", GET_ANOTHER)


def _check_configs(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if name.startswith("configs/") and name.endswith(".json"):
            check_config(parse_json(data, name), name)


def _check_weights_header(files: Mapping[str, bytes]) -> None:
    check_header(files[WEIGHTS])


CHECKS: tuple[Callable[[Mapping[str, bytes]], None], ...] = (
    _check_there,
    _check_weights_header,
    _check_sums,
    _check_configs,
)


def _errors(check: Callable[[Mapping[str, bytes]], None], files: Mapping[str, bytes]) -> list[ModelError]:
    try:
        check(files)
    except ModelError as error:
        return [error]
    except KeyError:  # _check_there has already reported the missing file
        return []
    return []


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the model's path to the cause of a ModelError that is raised inside."""
    try:
        yield
    except ModelError as error:
        raise named(error, path) from None


def named(error: ModelError, path: Path) -> ModelError:
    """The same error with the model's path."""
    if str(path) in error.cause:
        return error
    return ModelError(f"Model {path}: {error.cause[:1].lower()}{error.cause[1:]}", error.remedy)
