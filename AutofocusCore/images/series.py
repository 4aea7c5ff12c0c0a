"""Lists the DICOM series in a folder, and chooses the one that was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from AutofocusCore.errors import InputError
from AutofocusCore.images.slices import Slice, read_slices, series_uid_of

NOT_IMAGES = ("SEG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SR", "PR", "KO", "REG", "DOC", "FID", "M3D")
MOST_LOOKED_AT = 20_000
"""Largest number of files below a folder that are searched for more slices of its series."""


@dataclass(frozen=True)
class Series:
    """The slices that share a series UID."""

    uid: str
    number: int | None
    description: str
    modality: str
    slices: tuple[Slice, ...]
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """Its name in messages: 5 "t2_tse_tra" (MR, 20 slices)."""
        named = [str(self.number)] if self.number is not None else []
        named += [f'"{self.description}"'] if self.description else []
        count = len(self.slices)
        return f"{' '.join(named) or self.uid} ({self.modality or 'no modality'}, {count} slice{'s' * (count != 1)})"

    @property
    def can_be_volume(self) -> bool:
        """Whether it is not just a scout, a colour report or a single picture."""
        if self.slices[0].mosaic:
            return True
        whole = len(self.slices) > 1 and all(s.grey for s in self.slices)
        return whole and any(s.placed for s in self.slices) and not all(s.localizer for s in self.slices)

    def answers_to(self, wanted: str) -> bool:
        """Whether it has this number, UID or description."""
        wanted = wanted.strip()
        number = "" if self.number is None else str(self.number)
        return (wanted != "" and wanted in (self.uid, number)) or wanted.casefold() == self.description.casefold() != ""


def list_series(folder: Path) -> list[Series]:
    """The image series in a folder, by number; in its subfolders where it holds no DICOM file itself.

    Slices in subfolders that belong to a series in the folder itself are included, with a warning.

    Raises:
        InputError: there is no DICOM image.
    """
    own = read_slices(sorted(path for path in folder.iterdir() if path.is_file()))
    if group(own):
        below = _parts_below(folder, {one.series_uid for one in own})
        return group([*own, *below], folder)
    found = group(read_slices(_files_below(folder)))
    if not found:
        raise InputError(f"The folder {folder} holds no DICOM image", "give the folder of a series, or an image file")
    return found


def group(slices: Sequence[Slice], folder: Path | None = None) -> list[Series]:
    """Slices grouped by series; a slice that is there under two file names is used once."""
    groups: dict[str, list[Slice]] = {}
    for one in slices:
        if one.modality not in NOT_IMAGES:
            groups.setdefault(one.series_uid, []).append(one)
    found = []
    for uid, members in groups.items():
        volume, others = _without_others(members)
        unique = tuple(reversed({s.key: s for s in reversed(volume)}.values()))
        first = volume[0]
        remarks = (*others, *(_elsewhere(unique, folder, first) if folder is not None else ()))
        found.append(Series(uid, first.number, first.description, first.modality, unique, remarks))
    return sorted(found, key=lambda s: (s.number is None, s.number or 0, s.uid))


def _without_others(members: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """The slices of a series that belong to a volume, and warnings about the others.

    A scanner may file the localizer, a colour page or a screenshot under the series that it belongs to.
    """
    volume = [s for s in members if not s.localizer] or list(members)
    belong = [s for s in volume if s.grey and s.placed]
    if len(belong) < 2 or len(belong) == len(volume):
        return volume, ()
    names = ", ".join(sorted({s.path.name for s in volume if not (s.grey and s.placed)})[:3])
    count = len(volume) - len(belong)
    return belong, (
        f"{count} picture{'s' * (count != 1)} in colour or without a place in the patient ({names}) among the slices "
        f"of the series {belong[0].number or belong[0].series_uid} {'were' if count != 1 else 'was'} ignored.",
    )


def _elsewhere(slices: Sequence[Slice], folder: Path, first: Slice) -> tuple[str, ...]:
    away = [s for s in slices if s.path.parent != folder]
    if not away:
        return ()
    places = ", ".join(sorted({str(s.path.parent.relative_to(folder)) for s in away})[:3])
    return (
        f"{len(away)} of the {len(slices)} slices of the series {first.number or first.series_uid} lie in a folder "
        f"below {folder} ({places}): they were included.",
    )


def choose(every: list[Series], folder: Path, wanted: str | int | None) -> Series:
    """The series that was asked for, or the only one that can be a volume.

    Raises:
        InputError: there is none, or more than one.
    """
    names = _names(every)
    if wanted is not None:
        matching = [s for s in every if s.answers_to(str(wanted))]
        if len(matching) == 1:
            return matching[0]
        cause = "no series" if not matching else f"{len(matching)} series"
        uids = "" if not matching else " by UID: " + ", ".join(s.uid for s in matching)
        raise InputError(f"{folder} has {cause} named {wanted}", f"choose one of them{uids or ': ' + names}")
    volumes = [s for s in every if s.can_be_volume]
    if not volumes:
        volumes = [s for s in every if len(s.slices) > 1]  # the error then says what is wrong with it
    if len(volumes) == 1:
        return volumes[0]
    if not volumes:
        raise InputError(f"{folder} holds only single 2-D slices: {names}", "give the folder of a whole series")
    raise InputError(
        f"{folder} holds {len(volumes)} series: {_names(volumes)}",
        "choose one (series), by its number, description or UID",
    )


def _names(every: Sequence[Series]) -> str:
    """All labels, with the UID where the same number and description come twice."""
    short = [(s.number, s.description) for s in every]
    twice = {key for key in short if short.count(key) > 1}
    shown = [s.label + (f" UID {s.uid}" if key in twice else "") for s, key in zip(every, short, strict=True)]
    return "; ".join(shown[:20]) + (f"; and {len(shown) - 20} more" if len(shown) > 20 else "")


def _files_below(folder: Path, most: int | None = None) -> list[Path]:
    """Files in the subfolders; links are followed, but not in circles."""
    found: list[Path] = []
    for path in _walk(folder):
        if path.parent != folder and path.is_file():
            found.append(path)
            if most is not None and len(found) >= most:
                break
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for file in sorted(files):
            yield Path(name, file)


def _parts_below(folder: Path, uids: set[str]) -> list[Slice]:
    """Slices in subfolders of the series of these UIDs."""
    return read_slices(path for path in _files_below(folder, MOST_LOOKED_AT) if series_uid_of(path) in uids)


def parts_beside(path: Path, uid: str) -> list[Path]:
    """Other DICOM files of a series in the folder of one of its files."""
    beside = sorted(other for other in path.parent.iterdir() if other != path and other.is_file())
    return [other for other in beside[:MOST_LOOKED_AT] if series_uid_of(other) == uid]
