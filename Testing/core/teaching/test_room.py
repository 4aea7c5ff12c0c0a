"""Whether a step fits into memory."""

from __future__ import annotations

from typing import Any

import pytest

from AutofocusCore.errors import MemoryLimitError
from AutofocusCore.teaching.room import SHARE, SMALLEST_PART, bytes_of_a_voxel, most_voxels


def test_scans_are_taken_whole_where_there_is_room_and_they_are_not_too_large(parent: Any) -> None:
    assert most_voxels(parent, 4, 10**12, 50_000, 80_000) == 0
    assert most_voxels(parent, 4, 10**12, 200_000, 80_000) == 80_000


def test_parts_are_as_large_as_the_memory_allows_and_too_little_is_refused_in_a_sentence(parent: Any) -> None:
    each = bytes_of_a_voxel(parent, 4) / SHARE
    assert most_voxels(parent, 4, int(30_000 * each), 200_000, 80_000) == pytest.approx(30_000, abs=1)
    with pytest.raises(MemoryLimitError, match=r"Teaching needs at least .* GiB of memory, and there are"):
        most_voxels(parent, 4, int((SMALLEST_PART - 1) * each), 200_000, 80_000)
    assert most_voxels(parent, 4, int(5_000 * each) + 1, 4_000, 80_000) == 0


def test_half_the_bytes_of_a_number_need_less(parent: Any) -> None:
    assert bytes_of_a_voxel(parent, 2) < bytes_of_a_voxel(parent, 4)
