"""A blocking run without the panel, for scripts, other modules and the module's self-test."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import slicer

from AutofocusCore.errors import Cancelled, WorkerError
from AutofocusSegmentationLib.panel.requests import make_request
from AutofocusSegmentationLib.scene.results import add_to_scene
from AutofocusSegmentationLib.worker.main_thread_queue import MainThreadQueue
from AutofocusSegmentationLib.worker.run import ENDED, Run, State
from AutofocusSegmentationLib.worker.session import WorkerSession


def process(
    volumes: Sequence[Any],
    model: str,
    *,
    device: str = "auto",
    attention: bool = True,
    roi: Any = None,
    replace: Any = None,
    timeout: float | None = None,
) -> Any:
    """Segment volume nodes with a new worker, and return the segmentation node.

    Raises:
        AutofocusError: the run failed; the scene is unchanged.
    """
    main_thread = MainThreadQueue()
    session = WorkerSession(main_thread, on_log=lambda line: None)
    parameters = SimpleNamespace(roi=roi, smallest_island=0.0, keep_attention=attention)
    settings = {"device": device}
    try:
        request = make_request(list(volumes), model, settings, parameters)
        run = Run(session, main_thread, lambda stage, share, left: None, lambda run: None)
        run.start(request)
        until = None if timeout is None else time.monotonic() + timeout
        while run.state not in ENDED:
            main_thread.empty()
            slicer.app.processEvents()
            time.sleep(0.01)
            if until is not None and time.monotonic() > until:
                run.cancel()
                raise WorkerError(f"The segmentation took longer than {timeout:.0f} s", "allow more time")
        if run.state is State.CANCELLED:
            raise Cancelled
        if run.fault is not None:
            raise run.fault
        return add_to_scene(volumes[0], run.result, None, replace=replace).segmentation
    finally:
        session.close()
