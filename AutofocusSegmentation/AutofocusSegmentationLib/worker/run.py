"""One click on Segment: volumes go to the worker, labels and attention come back, step by step without waiting.

    writing -> computing -> reading -> finished | failed | cancelled

Nothing of the scene changes before everything has been computed and read: a run that fails or is cancelled leaves the
scene as it was.
"""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import AutofocusError, OutputError, WorkerError
from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot
from AutofocusSegmentationLib.worker.exchange_volumes import write_volume
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.session import WorkerSession

if TYPE_CHECKING:
    from AutofocusCore.result import SegmentationResult

_numbers = itertools.count(1)


class State(Enum):
    """Where a run is."""

    WRITING = "writing"
    COMPUTING = "computing"
    READING = "reading"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (State.FINISHED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class SegmentationRequest:
    """A request for one segmentation.

    Args:
        images: a snapshot for each channel, in the model's order.
        model: its name or folder.
        settings: fields of AutofocusCore.jobs.job.Settings.
        attention: whether to compute attention maps.
    """

    images: Sequence[VolumeSnapshot]
    model: str
    settings: dict[str, Any]
    attention: bool


@dataclass
class Run:
    """The state of one run.

    Args:
        session: the worker.
        main_thread: queue for results of background work.
        on_progress: called with (stage, share of the stage from 0 to 1, seconds left or None).
        on_end: called once, on the main thread; then `state`, `result` and `fault` tell how it ended.
    """

    session: WorkerSession
    main_thread: MainThreadQueue
    on_progress: Callable[[str, float, float | None], None]
    on_end: Callable[[Run], None]
    state: State = State.WRITING
    result: SegmentationResult | None = None
    fault: AutofocusError | None = None
    started: float = field(default_factory=time.monotonic)
    _job: int | None = None
    _names: dict[str, str] = field(default_factory=dict)  # the user's name of each exchanged file's volume
    _folder: Path | None = None  # with the copies that the worker reads; removed when the run has ended

    def start(self, request: SegmentationRequest) -> None:
        """Begin; returns at once."""
        self.on_progress("export", 0.0, None)
        try:
            folder = self._folder = self.session.folder / f"run-{next(_numbers)}"
        except OSError as error:
            self._failed(error)
            return
        self._in_background(lambda: _write(request.images, folder), lambda paths: self._compute(request, paths))

    def cancel(self) -> None:
        """End it now. The worker's process goes with it."""
        if self.state in ENDED:
            return
        self._end(State.CANCELLED)
        self.session.cancel()

    @property
    def seconds(self) -> float:
        """Since the click."""
        return time.monotonic() - self.started

    def _compute(self, request: SegmentationRequest, paths: list[str]) -> None:
        self.state = State.COMPUTING
        names = [image.name for image in request.images]
        self._names = dict(zip([*paths, *(Path(path).name for path in paths)], 2 * names, strict=True))
        self._job = self.session.request(
            "segment",
            images=paths,
            model=request.model,
            settings=request.settings,
            attention=request.attention,
            uncertainty=True,
            keep=False,
            on_result=self._read,
            on_error=self._refused,
            on_progress=self._progress,
        )

    def _progress(self, message: dict[str, Any]) -> None:
        if self.state is State.COMPUTING:
            done, total = message.get("done") or 0, message.get("total") or 1
            self.on_progress(str(message.get("stage")), min(done / total, 1.0), message.get("seconds_left"))

    def _read(self, message: dict[str, Any]) -> None:
        if self.state is not State.COMPUTING:
            return
        self.state = State.READING
        self.on_progress("import", 0.0, None)
        self._in_background(lambda: _read_result(message, self._names), self._finish)

    def _finish(self, result: SegmentationResult) -> None:
        self.result = result
        if self._job is not None:
            self.session.request("forget", job=self._job)
        self._end(State.FINISHED)

    def _refused(self, message: dict[str, Any]) -> None:
        if self.state in ENDED:
            return
        if message.get("code") == "cancelled":
            self._end(State.CANCELLED)
            return
        told = in_words(message, self._names)
        self.fault = WorkerError(str(told.get("cause")), str(told.get("remedy")), str(told.get("code")))
        self._end(State.FAILED)

    def _in_background(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def still_wanted(result: Any) -> None:
            if self.state not in ENDED:
                done(result)

        self.main_thread.in_background(work, still_wanted, self._failed)

    def _failed(self, error: Exception) -> None:
        if self.state not in ENDED:
            self.fault = (
                error
                if isinstance(error, AutofocusError)
                else OutputError(
                    f"The volumes could not be exchanged ({error})",
                    "check the free space of the disk for temporary files",
                )
            )
            self._end(State.FAILED)

    def _end(self, state: State) -> None:
        self.state = state
        self.session.forget(self._job)
        if self._folder is not None:  # in the background, because large files take time
            folder = self._folder
            threading.Thread(target=lambda: _remove(folder), daemon=True, name="removal").start()
        self.on_end(self)


def _write(images: Sequence[VolumeSnapshot], folder: Path) -> list[str]:
    folder.mkdir()  # without its parent, which no longer exists if the run was cancelled
    paths = []
    for number, image in enumerate(images, start=1):
        path = folder / f"channel-{number}.nrrd"
        write_volume(image, path)
        paths.append(str(path))
    return paths


def _remove(folder: Path) -> None:
    """Remove the copies of the volumes; on Windows a worker that is being killed may hold them for a moment."""
    for _attempt in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)


def in_words(value: Any, names: dict[str, str]) -> Any:
    """The worker's answer (any JSON), with the names of exchanged files replaced by the user's names of the volumes."""
    if isinstance(value, str):
        for file, name in names.items():
            value = value.replace(file, name)
        return value
    if isinstance(value, dict):
        return {key: in_words(item, names) for key, item in value.items()}
    return [in_words(item, names) for item in value] if isinstance(value, list) else value


def _read_result(message: dict[str, Any], names: dict[str, str]) -> SegmentationResult:
    from AutofocusCore.worker.exchange import read_exchange_files

    texts = {key: in_words(message[key], names) for key in ("provenance", "warnings") if message.get(key)}
    return read_exchange_files({**message, **texts})
