"""Cases on worker processes of this computer. A worker that dies takes its case with it, which gets a second try."""

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
POLL_SECONDS = 0.2  # how soon a signal is noticed


class Pool:
    """Runs jobs, each in one of `count` worker processes; use it with `with`, which ends them.

    Args:
        count: number of processes; they share threads and memory equally.
        progress: called with the number of a job and the fields of its progress.
    """

    def __init__(self, count: int, *, progress: Callable[[int, Mapping[str, Any]], None] | None = None) -> None:
        self._count = count
        self._progress = progress
        self._answers: queue.Queue[tuple[WorkerProcess, dict[str, Any] | None]] = queue.Queue()
        self._workers: dict[WorkerProcess, int | None] = {}  # the job that each is doing
        self._devices: list[str] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.end()

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """The results as they come.

        Raises:
            DeviceError: the jobs' device does not exist.
            AutofocusError: workers cannot be started at all.
        """
        if not jobs:
            return
        self._prepare(jobs[0])
        waiting = collections.deque(range(len(jobs)))
        tries: collections.Counter[int] = collections.Counter()
        left = len(jobs)
        while left:
            while waiting and self._free() is not None:
                self._give(waiting.popleft(), jobs, tries)
            try:
                worker, message = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            number = self._workers.get(worker)
            if message is None:
                del self._workers[worker]
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
        """Start the first worker and ask it which devices there are."""
        worker = self._start()
        worker.send({"id": "devices", "request": "devices"})
        while True:
            try:
                _, message = self._answers.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if message is None:
                raise AutofocusError(
                    f"A worker process cannot be started ({how_it_ended(worker.exit_code)})",
                    "see the messages above, and check the installation",
                )
            if message.get("type") == "error":
                raise AutofocusError(str(message["cause"]), str(message["remedy"]))
            break
        ids = [str(device["id"]) for device in message["devices"]]
        wanted = "cuda:0" if job.settings.device == "cuda" else job.settings.device.lower()
        if wanted not in ("auto", *ids):
            raise DeviceError(
                f"There is no device {job.settings.device!r} on this computer", f"use auto, {' or '.join(ids)}"
            )
        gpus = [name for name in ids if name.startswith("cuda:")]
        self._devices = gpus if wanted == "auto" and len(gpus) > 1 else []

    def _start(self) -> WorkerProcess:
        threads = None if self._count == 1 else max(1, (os.cpu_count() or 1) // self._count)
        worker = WorkerProcess(self._answers, threads=threads, memory_share=1.0 / self._count)
        self._workers[worker] = None
        return worker

    def _free(self) -> WorkerProcess | None:
        free = next((worker for worker, job in self._workers.items() if job is None), None)
        return self._start() if free is None and len(self._workers) < self._count else free

    def _give(self, number: int, jobs: Sequence[Job], tries: collections.Counter[int]) -> None:
        worker = self._free()
        assert worker is not None
        job = jobs[number]
        if self._devices:
            device = self._devices[list(self._workers).index(worker) % len(self._devices)]
            job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, device=device))
        self._workers[worker] = number
        tries[number] += 1
        worker.send({"id": number, "request": "segment", **dataclasses.asdict(job)})


def _died(worker: WorkerProcess) -> dict[str, Any]:
    return {
        "type": "error",
        "code": "died",
        "cause": f"The process that computed it ended, {TRIES} times ({how_it_ended(worker.exit_code)})",
        "remedy": "it most likely ran out of memory: use fewer workers or a smaller --memory-limit",
    }
