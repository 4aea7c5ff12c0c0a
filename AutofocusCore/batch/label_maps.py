"""Distinguishes scans from label maps and other images of the same patients, by well-known words in their names.

A word alone is not enough (`mask_trial_07` may be a patient): the rest of the name must belong to another image, as
`anna_seg` belongs to `anna` or `anna_ct`. All images of a folder are cases unless their names pair them in this way.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from AutofocusCore.batch.file_names import channel_of, without
from AutofocusCore.io.atomic import stem_of
from AutofocusCore.io.outputs import read_sidecar

if TYPE_CHECKING:
    from AutofocusCore.models import Channel

LABEL_WORDS = {
    "annotation", "annotations", "attention", "contour", "contours", "ground", "groundtruth", "gt", "label",
    "labelmap", "labelmaps", "labels", "mask", "masks", "pred", "prediction", "predictions", "prob",
    "probabilities", "probability", "roi", "rois", "seg", "segmentation", "segmentations", "segmented", "segs",
    "truth",
}  # fmt: skip
MODALITY_WORDS = {
    "adc", "bold", "cbct", "ct", "cta", "dose", "dti", "dwi", "flair", "mr", "mra", "mri", "pd", "pet", "pt",
    "rtdose", "spect", "swi", "t1", "t1c", "t1ce", "t1gd", "t1n", "t1w", "t2", "t2f", "t2w",
}  # fmt: skip
SAME_WORDS = {"MR": {"mr", "mri"}, "CT": {"ct", "cta", "cbct"}, "PT": {"pet", "pt"}}
"""Words that only repeat the DICOM modality of an image."""


def label_maps(entries: Sequence[Path], channels: Sequence[Channel], *, one_case: bool = False) -> list[Path]:
    """The entries whose names say that they are label maps, masks or maps of other entries.

    Args:
        entries: files and folders.
        channels: the model's channels.
        one_case: whether all belong to one patient; then the word is enough if there is another image.
    """
    called = [entry for entry in entries if LABEL_WORDS & words_of(entry, channels)]
    patients = {patient_of(entry, channels) for entry in set(entries).difference(called)}
    if one_case:
        return called if patients else []
    related = _Related(patients)
    return [entry for entry in called if related.has_one(patient_of(entry, channels))]


def other_images(entries: Sequence[Path], channel: Channel) -> list[Path]:
    """The entries of another modality for which there is an entry of the same patient that fits the channel."""
    fitting = {entry for entry in entries if channel_of(entry, [channel])[0] is not None}
    patients = {patient_of(entry, [channel]) for entry in fitting}
    return [
        entry
        for entry in entries
        if entry not in fitting
        and MODALITY_WORDS & words_of(entry, [channel])
        and patient_of(entry, [channel]) in patients
    ]


def named_otherwise(images: Sequence[Path], channel: Channel) -> list[Path]:
    """The images whose names hold the word of another modality than the channel's, and fit none of its patterns."""
    said = MODALITY_WORDS - SAME_WORDS.get(channel.modality, set())
    return [image for image in images if channel_of(image, [channel])[0] is None and said & words_of(image, [channel])]


def with_sidecars(files: Sequence[Path]) -> list[Path]:
    """The label maps that this program wrote: those with a sidecar file that belongs to no other file here."""
    count = collections.Counter(stem_of(file) for file in files)
    return [file for file in files if count[stem_of(file)] == 1 and _has_legend(file)]


class _Related:
    """Finds a patient whose words contain the words of a name, or are contained in them.

    `anna` for `anna_liver`, `anna_1` for `anna`. Names are indexed by words, which is fast for thousands of names.
    """

    def __init__(self, patients: Set[frozenset[str]]) -> None:
        self._patients = patients
        self._with: dict[str, set[frozenset[str]]] = collections.defaultdict(set)
        for patient in patients:
            for word in patient:
                self._with[word].add(patient)
        self._by_rarest: dict[str, list[frozenset[str]]] = collections.defaultdict(list)
        for patient in filter(None, patients):
            self._by_rarest[min(patient, key=lambda word: len(self._with[word]))].append(patient)

    def has_one(self, name: frozenset[str]) -> bool:
        if name in self._patients:
            return True
        if any(patient <= name for word in name for patient in self._by_rarest.get(word, ())):
            return True
        holders = sorted((self._with.get(word, set()) for word in name), key=len)
        return bool(set.intersection(*holders) if holders else self._patients)


def _has_legend(file: Path) -> bool:
    return "provenance" in (read_sidecar(file.with_name(f"{stem_of(file)}.json")) or {})


def patient_of(entry: Path, channels: Sequence[Channel]) -> frozenset[str]:
    """The words of the name that identify the patient."""
    return words_of(entry, channels) - LABEL_WORDS - MODALITY_WORDS


def words_of(entry: Path, channels: Sequence[Channel]) -> frozenset[str]:
    """The words of the name without the channel's, in lower case."""
    number, pattern = channel_of(entry, channels)
    rest = stem_of(entry) if number is None else without(pattern, entry)
    rest = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", rest)  # annaSeg
    return frozenset(word for word in re.split(r"[\W_]+", rest.casefold()) if word)
