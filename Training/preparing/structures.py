"""Structures from the command line, or from a table with their names in the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from AutofocusCore.errors import SettingError

BACKGROUND = "background"


def read_structures(text: str) -> tuple[dict[int, str], dict[int, tuple[str, ...]]]:
    """Names by label, and by label the patterns of the names that files use.

    Args:
        text: names in the order of their labels, with commas between; or a JSON file that holds
            {"Prostate": ["prostate*", "CTV"], ...} in the order of the labels, or {"labels": {"Prostate": 1, ...}} or
            {"labels": {"1": "Prostate", ...}}, as the data sets of the Decathlon and of nnU-Net have it, or the
            latter without its "labels".

    Raises:
        SettingError: neither.
    """
    if not text.lower().endswith(".json"):
        names = [name.strip() for name in text.split(",")]
        structures = dict(enumerate(names, start=1))
        patterns = {label: (name,) for label, name in structures.items()}
    else:
        try:
            values = json.loads(Path(text).read_text(encoding="utf-8"))
            named = values.get("labels", values)
            if "labels" in values or all(str(key).isdigit() for key in values):
                structures = structures_of_labels(named)
                patterns = {label: (name,) for label, name in structures.items()}
            else:
                structures = dict(enumerate(map(str, values), start=1))
                patterns = {
                    label: (value,) if isinstance(value, str) else tuple(map(str, value))
                    for label, value in enumerate(values.values(), start=1)
                }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise SettingError(
                f"The structures in {text} cannot be used ({error})",
                'give a JSON file such as {"Prostate": ["prostate*"], "Bladder": ["bladder"]}',
            ) from None
    if any(not name for name in structures.values()) or len(set(structures.values())) < len(structures):
        raise SettingError(f"The structures are {list(structures.values())}", "give each a name of its own")
    return structures, patterns


def structures_of_labels(labels: Mapping[str, Any]) -> dict[int, str]:
    """Names by label, without the background, of a data set's "labels", whichever way round they are.

    Raises:
        ValueError: they are not labels and names.
    """
    turned = {}
    for key, value in labels.items():
        label, name = (int(key), str(value)) if str(key).isdigit() else (int(value), str(key))
        if label != 0 and name.casefold() != BACKGROUND:
            turned[label] = name
    return dict(sorted(turned.items()))
