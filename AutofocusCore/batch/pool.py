"""Runs cases in worker processes on this computer. If a worker dies, its case is tried once more."""

from __future__ import annotations

import collections
import dataclasses
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from AutofocusCore.errors import AutofocusError, DeviceError
from AutofocusCore.jobs.job import Job
from AutofocusCore.worker.client import WorkerProcess, how_it_ended

Result = tuple[int, dict[str, Any]]
"""Number of the job, and its fields: "type" "result" or "error", and those that worker/protocol.py describes."""

TRIES = 2
POLL_SECONDS = 0.2  # delay until a signal is noticed


class Pool:
    """Runs jobs in `count` worker processes, which end with the `with` block.

    Args:
        count: number of processes; they share threads and memory equally.
        progress: called with the number of a job and the fields of its progress.
    """

    def __init__(self, count: int, *, progress: Callable[[int, Mapping[str, Any]], None] | None = None) -> None:
        self._count = count
        self._progress = progress
        self._answers: queue.Queue[tuple[WorkerProcess, dict[str, Any] | None]] = queue.Queue()
        self._workers: dict[WorkerProcess, int | None] = {}  # the job of each worker
        self._places: dict[WorkerProcess, int] = {}  # number of its device, from 0
        self._devices: list[str] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.end()

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield the results as they come.

        Raises:
            DeviceError: the jobs' device does not exist.
            AutofocusError: no worker can be started.
        """
        if not jobs:
            return
        self._prepare(jobs[0])
        waiting = collections.deque(range(len(jobs)))
        tries: collections.Counter[int] = collections.Counter()
        left = len(jobs)
        while left:
            while waiting and (worker := self._free()) is not None:
                self._give(worker, waiting.popleft(), jobs, tries)
            try:
                worker, message = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            number = self._workers.get(worker)
            if message is None:
                del self._workers[worker], self._places[worker]
                if number is None:
                    continue
                if tries[number] < TRIES:
                    waiting.appendleft(number)
                    continue
                left -= 1
                yield number, _died(worker)
            elif number is not None and message.get("id") == number:
                if message.get("type") == "progress":
                    if self._progress is not None:
                        self._progress(number, message)
                    continue
                self._workers[worker] = None
                left -= 1
                yield number, message

    def _prepare(self, job: Job) -> None:
        """Start the first worker and ask it for the devices; if it dies at once, try once more."""
        for attempt in range(TRIES):
            message = self._devices_message(last=attempt == TRIES - 1)
            if message is not None:
                break
        assert message is not None
        if message.get("type") == "error":
            raise AutofocusError(str(message["cause"]), str(message["remedy"]))
        ids = [str(device["id"]) for device in message["devices"]]
        wanted = "cuda:0" if job.settings.device == "cuda" else job.settings.device.lower()
        if wanted not in ("auto", *ids):
            raise DeviceError(
                f"There is no device {job.settings.device!r} on this computer", f"use auto, {' or '.join(ids)}"
            )
        gpus = [name for name in ids if name.startswith("cuda:")]
        self._devices = gpus if wanted == "auto" and len(gpus) > 1 else []

    def _devices_message(self, *, last: bool) -> dict[str, Any] | None:
        """The devices according to a new worker; None if it died and another try is left."""
        worker = self._start()
        worker.send({"id": "devices", "request": "devices"})
        while True:
            try:
                _, message = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if message is not None:
                return message
            del self._workers[worker], self._places[worker]
            if last:
                raise AutofocusError(
                    f"A worker process cannot be started ({how_it_ended(worker.exit_code)})",
                    "see the messages above, and check the installation",
                )
            return None

    def _start(self) -> WorkerProcess:
        threads = None if self._count == 1 else max(1, (os.cpu_count() or 1) // self._count)
        try:
            worker = WorkerProcess(self._answers, threads=threads, memory_share=1.0 / self._count)
        except OSError as error:
            raise AutofocusError(
                f"A worker process cannot be started ({error.strerror or error})",
                "close programs, or use fewer workers",
            ) from None
        self._workers[worker] = None
        self._places[worker] = min(set(range(self._count)) - set(self._places.values()))
        return worker

    def _free(self) -> WorkerProcess | None:
        """An idle worker, or a new one if the limit allows; None if all are busy."""
        free = next((worker for worker, job in self._workers.items() if job is None), None)
        if free is not None or len(self._workers) == self._count:
            return free
        try:
            return self._start()
        except AutofocusError:
            if not self._workers:
                raise
            return None  # the system cannot start another one now; the others continue

    def _give(self, worker: WorkerProcess, number: int, jobs: Sequence[Job], tries: collections.Counter[int]) -> None:
        job = jobs[number]
        place = self._places[worker]
        if self._devices:
            device = self._devices[place % len(self._devices)]
            job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, device=device))
        self._workers[worker] = number
        tries[number] += 1
        share = self._share(place)
        worker.send({"id": number, "request": "segment", "memory_share": share, **dataclasses.asdict(job)})

    def _share(self, place: int) -> float:
        """The share of its device's memory that a worker may use; workers on other GPUs do not count."""
        if not self._devices:
            return 1.0 / self._count
        count = len(self._devices)
        return 1.0 / len(range(place % count, self._count, count))


def _died(worker: WorkerProcess) -> dict[str, Any]:
    return {
        "type": "error",
        "code": "died",
        "cause": f"The process that computed it ended, {TRIES} times ({how_it_ended(worker.exit_code)})",
        "remedy": "it most likely ran out of memory: use fewer workers or a smaller --memory-limit",
    }
