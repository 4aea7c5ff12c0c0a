"""Workers of a batch: a share of their own device each, and a second try for one that dies at the start."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from AutofocusCore.batch.pool import Pool
from AutofocusCore.errors import AutofocusError
from AutofocusCore.jobs.job import Job, Outputs


@pytest.mark.parametrize(
    ("workers", "devices", "shares"),
    [
        (4, [], [0.25] * 4),
        (4, ["cuda:0", "cuda:1"], [0.5] * 4),
        (3, ["cuda:0", "cuda:1"], [0.5, 1.0, 0.5]),
        (2, ["cuda:0", "cuda:1", "cuda:2"], [1.0, 1.0]),
    ],
)
def test_a_worker_takes_its_share_of_its_own_device(workers: int, devices: list[str], shares: list[float]) -> None:
    pool = Pool(workers)
    pool._devices = devices
    assert [pool._share(place) for place in range(workers)] == shares


class _Process:
    """Stands in for a worker process; the first ones die at once."""

    started: ClassVar[list[Any]] = []
    dying = 0

    def __init__(self, answers: Any, **options: Any) -> None:
        self.answers, self.number = answers, len(self.started)
        self.started.append(self)
        self.exit_code = 1

    def send(self, request: dict[str, Any]) -> None:
        if self.number < self.dying:
            self.answers.put((self, None))
        elif request["request"] == "devices":
            self.answers.put((self, {"id": "devices", "type": "result", "devices": [{"id": "cpu"}]}))
        else:
            self.answers.put((self, {"id": request["id"], "type": "result"}))

    def close(self) -> None: ...

    def end(self) -> None: ...


@pytest.mark.parametrize("dying", [0, 1, 2])
def test_a_worker_that_dies_at_the_start_gets_a_second_try(monkeypatch: pytest.MonkeyPatch, dying: int) -> None:
    monkeypatch.setattr("AutofocusCore.batch.pool.WorkerProcess", _Process)
    monkeypatch.setattr(_Process, "started", [])
    monkeypatch.setattr(_Process, "dying", dying)
    jobs = [Job((), "m", Outputs("a.seg.nrrd"))] * 3
    with Pool(1) as pool:
        if dying == 2:
            with pytest.raises(AutofocusError, match="cannot be started"):
                list(pool.run(jobs))
        else:
            assert sorted(number for number, _ in pool.run(jobs)) == [0, 1, 2]
