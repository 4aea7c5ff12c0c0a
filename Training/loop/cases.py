"""Cases and their sources: loaded when first needed, kept in memory up to a limit, named in error messages."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from AutofocusCore.errors import InputError
from AutofocusCore.inference.devices import memory
from AutofocusCore.models import ModelSpec
from AutofocusCore.teaching.case import Case
from Training.configuration.config import Data

SHOWN_PROBLEMS = 8
SHARE_OF_MEMORY = 0.5


class CaseCache:
    """Cases that are kept in memory up to a limit; the least recently used are dropped first.

    Args:
        limit: bytes; None for half of the memory that is free now, shared with the other processes of a run.
    """

    def __init__(self, limit: float | None = None) -> None:
        if limit is None:
            processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun says how many there are here
            limit = memory()[0] * SHARE_OF_MEMORY / processes
        self.limit = limit
        self._kept: OrderedDict[str, Case] = OrderedDict()

    def get(self, name: str, load: Callable[[], Case]) -> Case:
        """The case of that name, loaded if it is not there."""
        if name not in self._kept:
            self._kept[name] = load()
        self._kept.move_to_end(name)
        while len(self._kept) > 1 and sum(map(_bytes_of, self._kept.values())) > self.limit:
            self._kept.popitem(last=False)
        return self._kept[name]


def _bytes_of(case: Case) -> int:
    return case.image.nbytes + case.labels.nbytes + case.roi.nbytes


@dataclass
class Source:
    """A case that is prepared when it is needed; without a cache it then stays in memory."""

    name: str
    load: Callable[[], Case]
    cache: CaseCache = field(default_factory=lambda: CaseCache(float("inf")), repr=False)

    @property
    def case(self) -> Case:
        """The case, ready for the network."""
        return self.cache.get(self.name, self.load)


@dataclass(frozen=True)
class DataSet:
    """The cases to train on, those set aside from them to watch, and those to report on.

    Args:
        checksum: identifies files and parts together.
        remarks: warnings about the data that do not stop a training.
        known: number of training cases in which each structure is known; empty if all are known in all cases.
    """

    train: list[Source]
    watch: list[Source]
    test: list[Source]
    checksum: str
    remarks: tuple[str, ...] = ()
    known: Mapping[str, int] = field(default_factory=dict)


def names_of(sources: Sequence[Source]) -> list[str]:
    """The cases' names."""
    return [source.name for source in sources]


def remark_on_lost(lost: Mapping[str, Sequence[int]], spec: ModelSpec) -> tuple[str, ...]:
    """A sentence that names the cases that lose structures on the model's grid; none if there are no such cases.

    Args:
        lost: label values by case, as `SampledLabels.lost` finds them.
        spec: the model.
    """
    names = {structure.label: structure.name for structure in spec.structures}
    affected = [f"{case} ({', '.join(names[v] for v in values)})" for case, values in lost.items() if values]
    if not affected:
        return ()
    return (
        f"{len(affected)} of {len(lost)} cases have structures that are lost on the model's grid, being smaller than "
        f"its voxels; they are not trained on, and count as missed: {some(affected)}.",
    )


def split_watched(names: Sequence[str], count: int, where: str) -> tuple[list[str], list[str]]:
    """The names to train on, and `count` evenly spread names that are set aside to watch.

    Raises:
        InputError: nothing would be left to train on.
    """
    if count >= len(names):
        raise InputError(f"{where} has {len(names)} training cases", f"have more than data.watch={count}")
    watched = set(names[:: max(1, len(names) // max(count, 1))][:count])
    return [n for n in names if n not in watched], [n for n in names if n in watched]


def parts_to_use(
    train: Sequence[str], test: Sequence[str], data: Data, where: str
) -> tuple[list[str], list[str], list[str]]:
    """The names to train on, to watch and to report on, as a configuration says.

    Raises:
        InputError: nothing would be left to train on, or too few are there to watch.
    """
    test = list(test)[: data.test or None]
    if data.watch_from == "train":
        return (*split_watched(train, data.watch, where), test)
    if data.watch > len(test):
        raise InputError(f"{where} has {len(test)} test cases", f"have at least data.watch={data.watch}")
    return list(train), test[:: max(1, len(test) // max(data.watch, 1))][: data.watch], test


def remark_on_small(shapes: Mapping[str, Sequence[int]], segment: Sequence[int]) -> tuple[str, ...]:
    """A sentence that names the cases smaller than a segment's output along an axis; none if there are no such cases.

    Args:
        shapes: of the cases on the model's grid, z, y, x in voxels.
        segment: size of a segment's output, likewise.
    """
    small = [name for name, shape in shapes.items() if any(n < s for n, s in zip(shape, segment, strict=True))]
    if not small:
        return ()
    shown = some([f"{name} ({' × '.join(map(str, shapes[name]))})" for name in small])
    size = " × ".join(map(str, segment))
    return (
        f"{len(small)} of {len(shapes)} cases are smaller than a segment's {size} voxels (z, y, x) along an axis, and "
        f"their segments are filled up with background: {shown}.",
    )


def some(items: Sequence[str]) -> str:
    """The first few items as text, and the number of the others."""
    more = len(items) - SHOWN_PROBLEMS
    return ", ".join(items[:SHOWN_PROBLEMS]) + (f" and {more} more" if more > 0 else "")


def refuse(problems: Sequence[str], where: object) -> NoReturn:
    """Raise the InputError that lists what is wrong with the cases."""
    more = f" (and {len(problems) - SHOWN_PROBLEMS} more)" if len(problems) > SHOWN_PROBLEMS else ""
    listed = " ".join(problems[:SHOWN_PROBLEMS])
    raise InputError(f"{len(problems)} cases of {where} cannot be used: {listed}{more}", "correct or remove them")
