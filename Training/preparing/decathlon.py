"""Tasks of the Medical Segmentation Decathlon: dataset.json, imagesTr, labelsTr; several channels in one 4-D file."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from AutofocusCore.errors import InputError
from Training.preparing.found import Found, FoundCase, ImageFile, Problem, safe_name, stem_of, without_duplicates
from Training.preparing.structures import structures_of_labels


def find_decathlon(source: Path, name: str | None = None) -> Found:
    """The cases that dataset.json lists; its test images, which have no labels, are the test part.

    Args:
        source: the task's folder.
        name: of the collection; None for the one in dataset.json.

    Raises:
        InputError: there is no dataset.json, or it is not the Decathlon's.
    """
    path = source / "dataset.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        channels = tuple(str(values["modality"][key]) for key in sorted(values["modality"], key=int))
        structures = structures_of_labels(values["labels"])
        listed = [(_inside(one["image"]), _inside(one["label"])) for one in values["training"]]
        unlabelled = [_inside(one["image"] if isinstance(one, dict) else one) for one in values.get("test", [])]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be used ({type(error).__name__}: {error})",
            "give the folder of a Decathlon task, or use prepare.py folder",
        ) from None

    cases, problems = [], []
    for image, label, part in [(i, lab, "train") for i, lab in listed] + [(i, None, "test") for i in unlabelled]:
        given = stem_of(Path(image)) or Path(image).name
        case = safe_name(given)
        missing = [file for file in (image, label) if file and not (source / file).is_file()]
        if missing:
            problems.append(Problem(case, f"dataset.json lists {' and '.join(missing)}, but it is not there"))
            continue
        frames = [None] if len(channels) == 1 else list(range(len(channels)))
        images = tuple(ImageFile(source / image, frame) for frame in frames)
        truth = ImageFile(source / label) if label else None
        cases.append(FoundCase(case, images, truth, part, case, given=given))
    known = {file for pair in listed for file in pair} | set(unlabelled)
    for folder in ("imagesTr", "labelsTr"):
        for file in sorted((source / folder).glob("*")) if (source / folder).is_dir() else []:
            if stem_of(file) and not file.name.startswith(".") and f"{folder}/{file.name}" not in known:
                problems.append(Problem(stem_of(file) or "", f"{folder}/{file.name} is not listed in dataset.json"))
    unique, doubles = without_duplicates(cases)
    title = name or str(values.get("name") or source.name)
    return Found(title, source, channels, structures, tuple(unique), (*problems, *doubles))


def _inside(path: Any) -> str:
    """A path of dataset.json, such as ./imagesTr/case.nii.gz, without the dot; it may not lead out of the task."""
    parts = PurePosixPath(str(path).replace("\\", "/")).parts
    if ".." in parts or PurePosixPath(*parts).is_absolute():
        raise ValueError(f"{path!r} leads out of the folder")
    return PurePosixPath(*(part for part in parts if part != ".")).as_posix()
