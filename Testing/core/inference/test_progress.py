"""What a run reports of its progress."""

from __future__ import annotations

import pytest

from AutofocusCore.inference import progress as module
from AutofocusCore.inference.progress import Progress, Reporter


def test_no_time_is_estimated_from_a_first_step_that_is_hardly_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    seen: list[Progress] = []
    reporter = Reporter("predict", 4, seen.append, None)
    for seconds, share in ((1.5, 0.002), (1.0, 0.098), (7.5, 0.4), (10.0, 0.5)):  # the first step warms up
        now[0] += seconds
        reporter.advance(share)
    assert [report.seconds_left for report in seen] == [None, pytest.approx(22.5), pytest.approx(10), pytest.approx(0)]
