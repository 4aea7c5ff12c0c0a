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
from collections.abc import Iterator, Mapping
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
    check_weights,
    network_of,
    pack_weights,
    read_header,
    trained_network,
    unpack_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from AutofocusCore.networks.build import Network

LICENCE = "LICENSE"
NO_WEIGHTS = b"\x02" + bytes(7) + b"{}"  # a sound file without tensors
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
            return trained_network(self.spec.architecture, self.weights)

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
    check_weights(unpack_weights(weights), network_of(spec.architecture, outline=True))
    files = {
        METADATA: _json(spec.to_metadata()),
        "configs/inference.json": _json(inference_config(spec)),
        WEIGHTS: weights,
        "docs/README.md": model_card(spec).encode("utf-8"),
        LICENCE: (licence_text.strip() + "\n").replace("\r\n", "\n").encode("utf-8"),
    }
    files[CHECKSUMS] = _json({"algorithm": "sha256", "files": sha256_of(files)})
    for fault in _faults(files, sha256_of(files)):
        raise fault
    return place_folder(files, Path(folder), replace=True)


def read_bundle(path: str | os.PathLike[str]) -> Model:
    """Read the model in a folder or zip; check files, checksums and description, but not the weights (no torch).

    Raises:
        ModelError: it is missing, damaged, unsafe, or not a model.
    """
    return load_files(path, whole=False)[0]


def load_bundle(path: str | os.PathLike[str]) -> Model:
    """Read the model in a folder or zip and check everything, weights included; nothing is unpacked or executed.

    Raises:
        ModelError: it is missing, damaged, unsafe, not a model, or its weights do not fit the architecture.
    """
    return load_files(path)[0]


def load_files(
    path: str | os.PathLike[str], archive: bytes | None = None, *, whole: bool = True
) -> tuple[Model, dict[str, bytes]]:
    """As `load_bundle`, and return the checked files by their names in the model.

    Args:
        path: folder or zip.
        archive: the bytes of the zip, if already read.
        whole: whether the weights are checked, too.
    """
    path = Path(path).absolute()
    with naming(path):
        try:
            files = read_files(path, archive)
            sums = sha256_of(files)
            for fault in _faults(files, sums):
                raise fault
            spec = ModelSpec.from_metadata(parse_json(files[METADATA], METADATA))
            if whole:
                trained_network(spec.architecture, files[WEIGHTS])
        except UNREADABLE as error:
            raise _unreadable(error) from None
    identity = hashlib.sha256(json.dumps(sorted(sums.items())).encode("ascii")).hexdigest()
    return Model(spec, path, sums[WEIGHTS], identity, files[WEIGHTS]), files


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
        sums = sha256_of(files)
        for fault in _faults(files, sums):
            found.append(fault)  # one by one: the next may end this
        spec = ModelSpec.from_metadata(parse_json(files.get(METADATA, b""), METADATA))
        trained_network(spec.architecture, files.get(WEIGHTS, b""))
        if checksum is not None and sums[WEIGHTS] != checksum:
            found.append(ModelError("The weights are not those that were expected", GET_ANOTHER))
    except ModelError as error:
        found.append(error)
    except UNREADABLE as error:
        found.append(_unreadable(error))
    return list(dict.fromkeys(str(named(error, path)) for error in found))


def sha256_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file in hexadecimal, by the names in order."""
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def _unreadable(error: Exception) -> ModelError:
    first = next(iter(str(error).splitlines()), "")[:200]
    return ModelError(f"The model cannot be understood ({type(error).__name__}: {first})", GET_ANOTHER)


def _json(value: Any) -> bytes:
    # ASCII alone, for readers that take the system's encoding, as MONAI's do.
    return (json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


PAGE = "README.md"
"""README that model-hosting sites require in a folder; it is not used."""


def _faults(files: Mapping[str, bytes], sums: Mapping[str, str]) -> Iterator[ModelError]:
    """All that is wrong with the files of a model, apart from its description and the weights themselves."""
    for name in (METADATA, WEIGHTS, CHECKSUMS, LICENCE):
        if name not in files:
            yield ModelError(f"The model has no {name}", GET_ANOTHER)
    try:
        read_header(files.get(WEIGHTS, NO_WEIGHTS))
    except ModelError as error:
        yield error
    yield from _checksum_faults(files, sums)
    for name, data in files.items():
        if name.startswith("configs/") and name.endswith(".json"):
            try:
                check_config(parse_json(data, name), name)
            except ModelError as error:
                yield error


def _checksum_faults(files: Mapping[str, bytes], sums: Mapping[str, str]) -> Iterator[ModelError]:
    table = parse_json(files.get(CHECKSUMS, b"null"), CHECKSUMS)
    listed = table.get("files") if isinstance(table, dict) and table.get("algorithm") == "sha256" else None
    if not isinstance(listed, dict) or not all(isinstance(value, str) for value in listed.values()):
        yield ModelError("The model's checksums.json is not a table of SHA-256 sums", GET_ANOTHER)
        return
    check_names(listed)
    for name in sorted(listed.keys() - files.keys()):
        yield ModelError(f"The model's {name} is missing", GET_ANOTHER)
    for name in sorted(files.keys() - listed.keys() - {CHECKSUMS, PAGE}):
        yield ModelError(f"The model holds {name!r}, which is not in its checksums", "remove that file")
    for name in sorted(listed.keys() & files.keys()):
        if sums[name] != listed[name].lower():
            yield ModelError(f"The model's {name} is damaged or was changed: its checksum differs", GET_ANOTHER)


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
