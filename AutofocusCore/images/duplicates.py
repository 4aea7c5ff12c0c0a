"""Duplicate slices of a DICOM series: the same pixels at the same position, with another instance UID.

They come from a series that was exported or copied twice, and would look like a series of several volumes, or like one
with several images at some positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from AutofocusCore.images.pixels import pixels_of
from AutofocusCore.images.slices import Slice

Digests = Callable[[Sequence[Slice]], list[bytes]]
Planes = list[list[Slice]]


def digests_of(slices: Sequence[Slice]) -> list[bytes]:
    """A checksum of the real values of each slice.

    Raises:
        InputError: the pixels of a file cannot be read.
    """
    return [hashlib.sha256(np.ascontiguousarray(plane).tobytes()).digest() for plane in pixels_of(slices)]


def without_duplicates(planes: Planes, digests: Digests) -> tuple[Planes, tuple[Slice, ...]]:
    """The slices at each position without duplicates, and the duplicates.

    A plane may look the same in several volumes of a 4-D series (an empty one does). So the number of slices kept at
    every position is the largest number of different slices at any position.

    Args:
        planes: the slices at each place.
        digests: checksums of slices' pixels.
    """
    counts = {len(plane) for plane in planes}
    if counts == {1}:
        return planes, ()
    planes = [sorted(plane, key=lambda one: (one.order, one.path.name)) for plane in planes]
    middle = planes[len(planes) // 2]
    if len(counts) == 1 and len(set(digests(middle))) == len(middle):
        return planes, ()  # volumes over time, of which only one plane had to be read
    several = [one for plane in planes if len(plane) > 1 for one in plane]
    digest_of = {one.key: digest for one, digest in zip(several, digests(several), strict=True)}
    ordered = [_different_first(plane, digest_of) for plane in planes]
    most = max(different for _, different in ordered)
    kept = [{one.key for one in plane[:most]} for plane, _ in ordered]
    return (
        [[one for one in plane if one.key in keys] for plane, keys in zip(planes, kept, strict=True)],
        tuple(one for plane, _ in ordered for one in plane[most:]),
    )


def _different_first(plane: Sequence[Slice], digest_of: dict[str, bytes]) -> tuple[list[Slice], int]:
    """The slices with the first of each checksum in front, and how many these are."""
    if len(plane) == 1:
        return list(plane), 1
    first: dict[bytes, Slice] = {}
    for one in plane:
        first.setdefault(digest_of[one.key], one)
    different = list(first.values())
    keys = {one.key for one in different}
    return [*different, *(one for one in plane if one.key not in keys)], len(different)
