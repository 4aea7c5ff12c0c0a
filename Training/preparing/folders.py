"""Images and labels in folders, with cases found by patterns such as `images*/{case}` and `labels*/{case}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from AutofocusCore.errors import InputError, SettingError
from Training.preparing.found import (
    Found,
    FoundCase,
    ImageFile,
    Problem,
    files_below,
    safe_name,
    stem_of,
    without_duplicates,
)

PLACE = "{case}"
UNLABELLED = re.compile(r"(^|/)imagests/", re.IGNORECASE)
"""Images in a folder of this name belong to cases without labels, for testing: as in the Decathlon."""


def find_folders(
    source: Path,
    name: str,
    channels: Sequence[str],
    images: Sequence[str],
    labels: str,
    structures: Mapping[int, str],
) -> Found:
    """The cases in a folder.

    Args:
        source: the folder.
        channels: their names.
        images: for each channel the pattern of its files, relative to the source: `{case}` stands for the case's name,
            `*` for anything but a slash; the ending of an image file may be left out.
        labels: the pattern of the label maps.
        structures: names by label.

    Raises:
        InputError: no such folder, or no file that fits.
        SettingError: a pattern without `{case}`, or another number of patterns than of channels.
    """
    if len(images) != len(channels):
        raise SettingError(
            f"There are {len(images)} patterns of images for {len(channels)} channels ({', '.join(channels)})",
            "give one --images for each of --channels",
        )
    files = [path.relative_to(source).as_posix() for path in files_below(source)]
    by_channel = [_matching(files, pattern) for pattern in images]
    truth = _matching(files, labels)
    if not by_channel[0]:
        raise InputError(f"No image in {source} fits {images[0]!r}", "give another --images, with {case} in it")

    cases, problems = [], []
    for case in sorted({key for found in by_channel for key in found} | set(truth)):
        found = [channel.get(case, []) for channel in by_channel]
        missing = [channel for channel, there in zip(channels, found, strict=True) if not there]
        twice = [paths for paths in (*found, truth.get(case, [])) if len(paths) > 1]
        unlabelled = bool(found[0]) and UNLABELLED.search(found[0][0]) is not None
        if len(missing) == len(channels):
            problems.append(Problem(case, f"There are labels ({truth[case][0]}) without an image"))
        elif missing:
            problems.append(Problem(case, f"It has no {' and no '.join(missing)}"))
        elif twice:
            problems.append(Problem(case, "Its name is given twice: " + " and ".join(twice[0])))
        elif case not in truth and not unlabelled:
            problems.append(Problem(case, f"There is an image ({found[0][0]}) without labels"))
        else:
            label = ImageFile(source / truth[case][0]) if case in truth else None
            chosen = tuple(ImageFile(source / paths[0]) for paths in found)
            made, part = safe_name(case), "test" if unlabelled else "train"
            cases.append(FoundCase(made, chosen, label, part, made, given=case))
    unique, doubles = without_duplicates(cases)
    return Found(name, source, tuple(channels), structures, tuple(unique), (*problems, *doubles))


def _matching(files: Sequence[str], pattern: str) -> dict[str, list[str]]:
    """The files that match a pattern, by case."""
    pattern = pattern.replace("\\", "/").strip("/")
    if pattern.count(PLACE) != 1:
        raise SettingError(f"The pattern {pattern!r} does not say where the case's name is", "put {case} there, once")
    before, after = (".*".join("[^/]*".join(map(re.escape, part.split("*"))) for part in half.split("**"))
                     for half in pattern.split(PLACE))  # fmt: skip
    found: dict[str, list[str]] = {}
    for file in files:
        stem = stem_of(Path(file))
        if stem is None:
            continue
        bare = file[: len(file) - (len(Path(file).name) - len(stem))]
        for text in (bare.removesuffix(".seg"), bare, file):  # labels/anna.seg.nrrd is labels/{case}
            if match := re.fullmatch(f"{before}(?P<case>[^/]+){after}", text):
                found.setdefault(match["case"], []).append(file)
                break
    return found
