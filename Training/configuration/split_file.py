"""split.json: lists of the training, validation and test cases of a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from AutofocusCore.errors import InputError

FILE_NAME = "split.json"


def read_split(folder: Path, needed: Sequence[str] = ("train", "validation")) -> dict[str, list[str]]:
    """The names of the cases by part.

    Args:
        folder: with a split.json.
        needed: parts that must be there.

    Raises:
        InputError: it cannot be read, a part is missing, or is not a list of names.
    """
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {part: content[part] for part in {*needed, *content}}
        for part, names in parts.items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"{part} is not a list of names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        lists = " and ".join(f'"{part}"' for part in needed)
        raise InputError(
            f"{path} cannot be used ({error!r})", f"give a JSON file with the lists {lists}, or --data"
        ) from None
    return parts


def split_text(train: Sequence[str], validation: Sequence[str]) -> str:
    """The content of a split.json."""
    return json.dumps({"train": list(train), "validation": list(validation)})
