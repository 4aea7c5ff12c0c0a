"""The cases of a folder that contains a folder per case, the files of all cases, or both.

The model's file-name patterns identify the channels, and the rest of the name identifies the case. For a model with one
channel every image is a case, unless its name pairs it with another image (label_maps.py). Files and folders that
are not cases are listed in one line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch import skipped as left_out
from AutofocusCore.batch.bids import SUFFIXES, case_of, has_modality, images_of, is_bids, subjects_in, visit_of
from AutofocusCore.batch.case import Case
from AutofocusCore.batch.file_names import channel_of, without
from AutofocusCore.batch.label_maps import label_maps, named_otherwise, other_images, with_sidecars
from AutofocusCore.batch.manifest import STATE_FOLDER
from AutofocusCore.batch.skipped import SkippedFiles, some
from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import stem_of, suffix_of
from AutofocusCore.io.kinds import is_file, is_folder, is_special
from AutofocusCore.io.temporary import PREFIX

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
SEGMENTATION_SUFFIXES = (".seg.nrrd", ".seg.nhdr")
HEADER_SUFFIXES = (".mhd", ".nhdr")  # its voxels are in another file of the same name
# Common files beside images that are not images; files of other kinds are counted, because they may be scans.
SIDE_SUFFIXES = {
    ".bval", ".bvec", ".csv", ".doc", ".docx", ".html", ".ini", ".ipynb", ".jpeg", ".jpg", ".json", ".log", ".md",
    ".pdf", ".png", ".py", ".sh", ".svg", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
}  # fmt: skip
SIDE_NAMES = {"changes", "dicomdir", "licence", "license", "makefile", "readme", "thumbs.db"}


def read_folder(
    folder: Path, channels: Sequence[Channel], *, leave_out: Path | None, say: Callable[[str], None]
) -> list[Case]:
    """The cases of a folder, by name; `say` receives a line for each reason why something is not a case.

    Raises:
        InputError: the folder cannot be read.
    """
    away = None if leave_out is None else os.path.realpath(leave_out)
    entries = [entry for entry in _listed(folder) if os.path.realpath(entry) != away]
    left = SkippedFiles(folder)
    folders = _case_folders([entry for entry in entries if is_folder(entry)], left)
    files = _images([entry for entry in entries if not is_folder(entry)], left)
    if is_bids(folder):
        subjects = subjects_in(folder)
        left.add(left_out.NOT_RAW, *(_besides(folders, subjects) if subjects != [folder] else ()))
        cases = [case for subject in subjects for case in _from_subject(subject, channels, left)]
        for line in left.lines():
            say(line)
        return sorted(cases, key=lambda case: case.name)
    maps = label_maps([*files, *folders], channels)
    left.add(left_out.LABEL_NAMES, *maps)
    files, folders = _besides(files, maps), _besides(folders, maps)
    sidecars = with_sidecars(files)
    left.add(left_out.SIDECARS, *sidecars)
    files = _besides(files, sidecars)
    if files:
        empty = [one for one in folders if not _holds_image(one)]
        left.add(left_out.NO_IMAGES, *empty)
        folders = _besides(folders, empty)
    cases = _from_files(files, channels, left) + [_from_case_folder(one, channels, left) for one in folders]
    for line in left.lines():
        say(line)
    for line in _modality_warnings(cases, channels):
        say(line)
    return sorted(cases, key=lambda case: case.name)


def _modality_warnings(cases: Sequence[Case], channels: Sequence[Channel]) -> Iterator[str]:
    """A warning about images that are used as cases although their names contain another modality."""
    images = [Path(case.images[0]) for case in cases if len(channels) == 1 and case.images]
    if odd := named_otherwise(images, channels[0]):
        names = some([image.name for image in odd])
        count, are = f"{len(odd)} image{'s' * (len(odd) != 1)}", "is" if len(odd) == 1 else "are"
        yield (
            f"{count} {are} segmented though the name says another modality than {channels[0].name} "
            f"({', '.join(channels[0].patterns)}): {names}; check the result with care, or list the cases in a table."
        )


def _listed(folder: Path) -> list[Path]:
    """The entries of a folder, by name, without hidden and temporary files."""
    try:
        return sorted((e for e in folder.iterdir() if not e.name.startswith((".", PREFIX))), key=lambda e: e.name)
    except OSError as error:
        cause = f"The folder {folder.name} cannot be read: {error.strerror}"
        raise InputError(cause, "check its permissions") from None


def _besides(entries: Sequence[Path], taken: Sequence[Path]) -> list[Path]:
    gone = set(taken)
    return [entry for entry in entries if entry not in gone]


def _case_folders(folders: Sequence[Path], left: SkippedFiles) -> list[Path]:
    results = [folder for folder in folders if (folder / STATE_FOLDER).is_dir()]
    left.add(left_out.RESULTS, *results)
    return _besides(folders, results)


def _images(files: Sequence[Path], left: SkippedFiles, *, count_others: bool = True) -> list[Path]:
    """The image files; other files that may be scans are counted. Pipes and devices are never opened."""
    others = [file for file in files if is_special(file)]
    left.add(left_out.NO_FILES, *others)
    files = _besides(files, others)
    segmentations = [file for file in files if file.name.lower().endswith(SEGMENTATION_SUFFIXES)]
    left.add(left_out.SEGMENTATIONS, *segmentations)
    files = _besides(files, segmentations)
    images = [file for file in files if suffix_of(file) in IMAGE_SUFFIXES]
    if count_others:
        headers = {stem_of(image) for image in images if suffix_of(image) in HEADER_SUFFIXES}
        others = [file for file in _besides(files, images) if not _is_side_file(file, headers)]
        formats = f"none of the formats {', '.join(IMAGE_SUFFIXES)}"
        left.add((f"it is of {formats}", f"they are of {formats}"), *others)
    return images


def _is_side_file(file: Path, headers: set[str]) -> bool:
    of_header = any(file.name == stem or file.name.startswith(f"{stem}.") for stem in headers)
    return of_header or file.suffix.lower() in SIDE_SUFFIXES or file.name.lower() in SIDE_NAMES


def _holds_image(folder: Path) -> bool:
    """Whether there is an image or a DICOM slice anywhere below a folder."""
    for name, _, files in os.walk(folder):
        paths = [Path(name, file) for file in files if is_file(Path(name, file))]
        if any(suffix_of(path) in IMAGE_SUFFIXES or _is_slice(path) for path in paths):
            return True
    return False


def _holds_slices(folder: Path) -> bool:
    """Whether a folder itself contains DICOM slices."""
    files = (entry for entry in _listed(folder) if is_file(entry))
    return any(suffix_of(file) not in IMAGE_SUFFIXES and _is_slice(file) for file in files)


def _is_slice(path: Path) -> bool:
    """Whether a file is DICOM, and no structure set, plan, report or the like."""
    from AutofocusCore.images.series import NOT_IMAGES
    from AutofocusCore.images.slices import is_dicom, modality_of

    return is_dicom(path) and modality_of(path) not in NOT_IMAGES


def _unpacked(folder: Path) -> list[Path]:
    """The image files below a folder; if there are none, the folder itself as a DICOM series."""
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in sorted(names)]
    images = [file for file in found if suffix_of(file) in IMAGE_SUFFIXES and is_file(file)]
    return [file for file in images if not file.name.lower().endswith(SEGMENTATION_SUFFIXES)] or [folder]


def _from_files(files: Sequence[Path], channels: Sequence[Channel], left: SkippedFiles) -> list[Case]:
    if len(channels) == 1:
        others = other_images(files, channels[0])
        _skip_others(others, channels[0], left)
        return [Case(stem_of(file), (str(file),)) for file in _besides(files, others)]
    groups: dict[str, list[list[Path]]] = {}
    fitting = []
    for file in files:
        number, pattern = channel_of(file, channels)
        if number is not None:
            fitting.append(file)
            name = without(pattern, file) or file.parent.name
            groups.setdefault(name, [[] for _ in channels])[number].append(file)
    _skip_unfit(_besides(files, fitting), channels, left)
    return [_assigned(name, found, channels) for name, found in groups.items()]


def _from_case_folder(folder: Path, channels: Sequence[Channel], left: SkippedFiles) -> Case:
    try:
        entries = _listed(folder)
    except InputError as error:
        return Case(folder.name, (), (error.cause, error.remedy))
    images = _images([e for e in entries if not is_folder(e)], left, count_others=False)
    folders = [e for e in entries if is_folder(e)]
    if not images and len(channels) == 1 and (not folders or _holds_slices(folder)):
        left.add(left_out.INSIDE_SERIES, *[one for one in folders if _holds_image(one)])
        return Case(folder.name, (str(folder),))  # The files are slices of a DICOM series.
    if images or len(folders) > len(channels):
        empty = [one for one in folders if not _holds_image(one)]
        left.add(left_out.NO_IMAGES, *empty)
        folders = _besides(folders, empty)
    choices = images + [choice for one in folders for choice in _unpacked(one)]
    maps = label_maps(choices, channels, one_case=True)
    left.add(left_out.LABEL_NAMES, *maps)
    choices = _besides(choices, maps)
    found: list[list[Path]] = [[] for _ in channels]
    others: list[Path] = []
    for entry in choices:
        number, _ = channel_of(entry, channels)
        (others if number is None else found[number]).append(entry)
    if len(channels) == 1:
        if found[0]:
            _skip_others(others, channels[0], left)
        return _assigned(folder.name, [found[0] or choices], channels)
    _skip_unfit(others, channels, left)
    return _assigned(folder.name, found, channels)


def _from_subject(subject: Path, channels: Sequence[Channel], left: SkippedFiles) -> list[Case]:
    """The cases of a BIDS subject: each visit or, for a model with one channel, each image that fits the channel."""
    images = _images(images_of(subject, IMAGE_SUFFIXES), left)
    if not images:
        left.add(left_out.NO_IMAGES, subject)
        return []
    if len(channels) == 1:
        fitting = [image for image in images if channel_of(image, channels)[0] is not None]
        if fitting:
            _skip_others(_besides(images, fitting), channels[0], left)
            return [Case(case_of(image), (str(image),)) for image in fitting]
        if any(channel_of(Path(suffix), channels)[0] is not None for suffix in SUFFIXES):
            unfit = [image for image in images if has_modality(image)]  # and it is none of this channel
            _skip_unfit(unfit, channels, left)
            images = _besides(images, unfit)
            if not images:
                return [_assigned(subject.name, [[]], channels)]
    cases = []
    for visit in sorted({visit_of(image) for image in images}):
        found: list[list[Path]] = [[] for _ in channels]
        others: list[Path] = []
        for image in (image for image in images if visit_of(image) == visit):
            number, _ = channel_of(image, channels)
            (others if number is None else found[number]).append(image)
        if len(channels) == 1:
            found, others = [others], []
        _skip_unfit(others, channels, left)
        cases.append(_assigned(visit, found, channels))
    return cases


def _skip_others(others: Sequence[Path], channel: Channel, left: SkippedFiles) -> None:
    wanted = f"one for {channel.name} ({', '.join(channel.patterns)})"
    of_one, of_several = "it is a further image of a case that has", "they are further images of cases that have"
    left.add((f"{of_one} {wanted}", f"{of_several} {wanted}"), *others)


def _skip_unfit(others: Sequence[Path], channels: Sequence[Channel], left: SkippedFiles) -> None:
    patterns = "; ".join(f"{channel.name}: {', '.join(channel.patterns)}" for channel in channels)
    left.add((f"it fits no channel ({patterns})", f"they fit no channel ({patterns})"), *others)


def _assigned(name: str, found: Sequence[Sequence[Path]], channels: Sequence[Channel]) -> Case:
    for files, channel in zip(found, channels, strict=True):
        if len(files) != 1:
            patterns = ", ".join(channel.patterns) or "any image"
            names = some([file.name for file in files]) if files else "none"
            problem = (
                f"{len(files)} files fit the channel {channel.name} ({patterns}): {names}",
                "rename them, or list the files in a table",
            )
            return Case(name, (), problem)
    return Case(name, tuple(str(files[0]) for files in found))
