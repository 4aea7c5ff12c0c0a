"""One worker for a day: its memory does not grow with every new shape of volume."""

from __future__ import annotations

import pytest

from Benchmarks.soak import soak


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_five_hundred_volumes_of_random_shapes_stay_within_600_mib() -> None:
    rows = soak(500, "hippocampus-mr", threads=1)
    assert len({row["shape"] for row in rows}) > 450
    assert max(row["resident_mib"] for row in rows) <= 600
