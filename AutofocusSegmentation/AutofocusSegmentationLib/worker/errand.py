"""One request to the worker about volumes of the scene: they are written, the request is sent, the copies go.

Nothing waits: writing happens in the background, the answer comes as a callback on the main thread.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from AutofocusSegmentationLib.scene.geometry import VolumeSnapshot
from AutofocusSegmentationLib.worker.exchange_volumes import write_volume
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.session import WorkerSession

Answer = Callable[[dict[str, Any]], None]

_numbers = itertools.count(1)


class Errands:
    """Sends such requests.

    Args:
        session: the worker.
        main_thread: queue for results of background work.
        on_change: called when a request begins and when it has ended.
    """

    def __init__(self, session: WorkerSession, main_thread: MainThreadQueue, on_change: Callable[[], None]) -> None:
        self._session, self._main_thread, self._on_change = session, main_thread, on_change
        self._open = 0

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._open > 0

    def send(
        self,
        name: str,
        volumes: Mapping[str, VolumeSnapshot],
        *,
        on_result: Answer,
        on_error: Answer,
        **fields: Any,
    ) -> None:
        """Send a request; exactly one of the callbacks is called, later.

        Args:
            name: of the request.
            volumes: by the request's field that names their file.
            on_result, on_error: take the worker's answer.
            fields: the other fields.
        """
        self._open += 1
        folder: Path | None = None

        def end(answer: Answer, message: dict[str, Any]) -> None:
            self._open -= 1
            if folder is not None:
                threading.Thread(target=lambda: shutil.rmtree(folder, ignore_errors=True), daemon=True).start()
            self._on_change()
            answer(message)

        def failed(error: Exception) -> None:
            cause = getattr(error, "cause", None) or f"The volumes could not be exchanged ({error})"
            remedy = getattr(error, "remedy", None) or "check the free space of the disk for temporary files"
            code = getattr(error, "code", "output")
            end(on_error, {"code": code, "cause": cause, "remedy": remedy, "message": f"{cause}; {remedy}."})

        def written(paths: dict[str, str]) -> None:
            every: dict[str, Any] = {**fields, **paths}
            self._session.request(
                name,
                on_result=lambda message: end(on_result, message),
                on_error=lambda message: end(on_error, message),
                **every,
            )

        self._on_change()
        try:
            folder = self._session.folder / f"errand-{next(_numbers)}"
        except OSError as error:
            fault = error
            self._main_thread.post(lambda: failed(fault))
            return
        place = folder
        self._main_thread.in_background(lambda: _write(volumes, place), written, failed)


def _write(volumes: Mapping[str, VolumeSnapshot], folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {field: str(write_volume(volume, folder / f"{field}.nrrd")) for field, volume in volumes.items()}
