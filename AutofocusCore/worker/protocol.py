"""The worker process, `python -m AutofocusCore.worker`, and its protocol.

Slicer and batches compute in such processes, so that a crash or lack of memory there is only an error message for them.
Messages are JSON objects in UTF-8, one per line: requests on stdin, answers on stdout. The caller chooses the "id" of a
request (any JSON value), and the answers repeat it. Requests are queued, except "hello", "cancel" and "quit", which are
answered at once.

    {"id": 1, "request": "hello"}
    {"id": 1, "type": "result", "protocol": 2, "version": "0.2.0", "pid": 4711, "folder": "/tmp/autofocus-x1"}

    {"id": 2, "request": "devices"}        -> "devices": [{"id", "name", "free_bytes", "total_bytes", "precisions"}, …]
    {"id": 3, "request": "models"}         -> "models": [{"name", "title", "channels", …, "path", "sha256"}, …],
                                              "damaged": [sentence, …]
    {"id": 4, "request": "card", "model": "pelvis-phantom"}        -> "text": the model card, markdown
    {"id": 5, "request": "import", "path": "model.zip", "sha256": "…"}     -> "name", "path" of the imported model. The
                                              checksum, of the zip (or of a folder's weights), may be left out;
                                              "replace": true replaces a model of the same name
    {"id": 6, "request": "plan", "model": "pelvis-phantom", "size": [512, 512, 200], "spacing": [1, 1, 2],
     "origin": [-256, -256, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "attention": true, "settings": {…}}
                                           -> "plan": sentence, "peak_bytes" (of the device; on the CPU, all stages
                                              together), "prepare_bytes" (before the network runs), "seconds" (of the
                                              stage "predict"), "device", "precision", "slabs", "splits", "work"
                                              (multiplications)

The image of a plan: size in voxels, spacing and origin in mm, (x, y, z), LPS; direction cosines row by row. Origin and
direction may be left out. The region of interest is that of the settings, or "roi_box" beside them, 15 numbers as
there; without an origin it is assumed in the middle of the image. The plan does not know the body: a run that is
cropped to the body needs less.

    {"id": 7, "request": "segment", "images": ["ct.nii.gz"], "model": "pelvis-phantom",
     "outputs": {"segmentation": "out.seg.nrrd", "attention": "folder", "probabilities": null, "statistics": null},
     "settings": {"device": "auto", "precision": "auto", "mode": "exact", …}}       fields: AutofocusCore/jobs/job.py
    {"id": 7, "type": "progress", "stage": "predict", "done": 12, "total": 80, "seconds_left": 41.5}
    {"id": 7, "type": "result", "files": […], "volumes_ml": {…}, "measurements": […], "seconds": {…}, "device": "cpu",
     "precision": "float32", "plan": sentence, "warnings": […], "model": {"name", "sha256", "identity"},
     "result_id": "…"}

The identity of a model is a checksum of all its files; two models with equal weights ("sha256") need not be the same.
Every result has its own result_id; labels, attention maps and other files with the same result_id (in their provenance)
belong together.

Without "outputs", "segment" writes into a new folder below "folder", which only the user may read and which is removed
when the process ends. "attention": true and "probabilities": true request those. The result then also has these fields:

    "labels": volume, 8-bit (z, y, x), on the grid of the first image
    "probabilities": volume, (class, z, y, x) on that grid, background first; or null
    "attention": [{"layer": 0, "rates": [2, 6, 10, 14], "rates_mm": [8.0, …], "weights": volume,
                   "dilation": volume, "air_is_zero": true}, …]
                 layers count from 0, as in the settings; weights (rate, z, y, x) and effective dilation (z, y, x) in mm
                 on the model's grid, cropped to the predicted region; the dilation is 0 in the air around the
                 patient, if the model distinguishes it from the patient
    "recalibration": volume, (class, z, y, x) on that grid, background first, 0 to 1; null except for scale streams
    "reach": volume, (z, y, x) in mm on the attention's grid: how far the network looked, all layers together; 0 in
             the air, as the dilation; null where the attention of some layer was not asked for, or there is none
    "structures": [{"label", "name", "color", "type", …}, …], as in the model's metadata
    "provenance": {…}, how it was made
    "review": {"estimates": {structure: {"dice", "low", "high", "check"} or null, …}, "places": [{"structure", "label",
               "position_mm": [x, y, z] LPS, "volume_ml", "inside_ml", "outside_ml"}, …], "warnings": […],
               "calibrated": true}; null with "review": false
    "uncertainty": volume, (z, y, x), entropy of the classes in bits on the attention's grid; with "uncertainty": true

The requests "export", "report" and "compare" are about results that exist already; see `worker/exports.py`. "teach"
makes a new model of corrected cases; see `worker/teaching.py`. It reports progress and is cancelled as "segment" is.

A volume is {"path": "….npy", "index_to_lps": 4 x 4 numbers, row by row}: an array for `numpy.load`, and the matrix from
voxel indices (i, j, k, 1) to millimetres (x, y, z, 1), LPS; the array's index is [k, j, i]. With "keep": false the
folder is removed when the next such job begins, otherwise with the process, or with

    {"id": 8, "request": "forget", "job": 7}   -> "forgotten": whether there was such a folder

A job that fails or is cancelled leaves no folder. "memory_share": 0.5 beside the settings lets this job take that share
of its device's free memory instead of the one that the process was started with. At any time:

    {"id": 9, "request": "cancel", "job": 7}   -> "cancelled": whether there was such a job; job 7 then ends within a
                                                  slab, with an error of code "cancelled", and leaves no file
    {"id": 10, "request": "quit"}              -> {}, and the process ends; running work is cancelled

A request that fails is answered by

    {"id": 7, "type": "error", "code": "input", "cause": "…", "remedy": "…", "message": "cause; remedy."}

with the codes of AutofocusCore/errors.py, "request" for a line that is not a request (its id may be null) and
"internal" for a fault of the program. The process continues after all of these. It ends with "quit", when stdin is
closed (that is, when its parent ends) and on SIGTERM. Output of libraries goes to stderr.

Arguments: `--folder DIR` sets the private folder, `--threads N` limits the threads, `--memory-share F` is the share of
the free memory for jobs without a memory_limit.

All temporary files are in the private folder, which is removed when the process ends. Folders of crashed or killed
workers are removed by the next worker of the same user (`AutofocusCore.io.temporary`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from AutofocusCore._version import __version__
from AutofocusCore.errors import Cancelled, InternalError, as_user_error
from AutofocusCore.io.atomic import discard_all
from AutofocusCore.io.temporary import PrivateFolder, remove_abandoned
from AutofocusCore.worker import exports, teaching
from AutofocusCore.worker.environment import prepare_process
from AutofocusCore.worker.handlers import RequestHandlers
from AutofocusCore.worker.json_lines import BadLine, Lines, take_standard_streams

PROTOCOL = 2
JOBS = ("segment", "teach")
"""Requests that take long: they report progress, and can be cancelled."""
JobHandler = Callable[[Mapping[str, Any], Callable[[dict[str, Any]], None], Callable[[], bool]], dict[str, Any]]
WARM_UP: dict[str, Any] = {}
"""Queued after "hello": torch is loaded before the first request needs it."""


class Worker:
    """Reads requests in one thread and carries them out in the main thread."""

    def __init__(self, lines: Lines, folder: PrivateFolder, memory_share: float = 1.0) -> None:
        self._lines = lines
        self._folder = folder
        self._jobs = RequestHandlers(folder, memory_share)
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._cancelled: dict[str, threading.Event] = {}  # of queued and running jobs, by their ids as JSON
        self._lock = threading.Lock()
        self._handlers: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "devices": self._jobs.devices,
            "models": self._jobs.models,
            "card": self._jobs.card,
            "import": self._jobs.import_model,
            "plan": self._jobs.plan,
            "forget": self._jobs.forget,
            "segment": lambda request: self._job(request, self._jobs.segment),
            "teach": lambda request: self._job(request, teaching.teach),
            "export": exports.export,
            "report": exports.report,
            "compare": exports.compare,
        }

    def run(self) -> None:
        """Carry out requests until "quit"."""
        threading.Thread(target=self._read, daemon=True, name="requests").start()
        while (request := self._requests.get()) is not None:
            if request is WARM_UP:
                with contextlib.suppress(Exception):  # a request that needs it will report the error
                    import_module("AutofocusCore.segmentation")
                    import_module("AutofocusCore.inference")
            else:
                self._answer(request)

    def _read(self) -> None:
        """The reading thread, which notices "cancel" and the parent's end while a job runs.

        The process ends when this thread ends, for any reason: otherwise it would keep a patient's data for ever.
        """
        try:
            for line in self._lines.read():
                if isinstance(line, BadLine):
                    self._lines.write(_error(None, "request", line.cause, "send one JSON object a line"))
                else:
                    self._sort(line)
        except BaseException:
            traceback.print_exc()
        finally:
            end_at_once(self._folder)

    def _sort(self, request: dict[str, Any]) -> None:
        """Answer quick requests at once, queue the others."""
        name, key = request.get("request"), request.get("id")
        if name == "hello":
            about = {"protocol": PROTOCOL, "version": __version__, "pid": os.getpid()}
            self._lines.write({"id": key, "type": "result", **about, "folder": str(self._folder.path())})
            self._requests.put(WARM_UP)
        elif name == "cancel":
            with self._lock:
                event = self._cancelled.get(_key(request.get("job")))
            if event is not None:
                event.set()
            self._lines.write({"id": key, "type": "result", "cancelled": event is not None})
        elif name == "quit":
            with self._lock:
                for event in self._cancelled.values():
                    event.set()
            self._lines.write({"id": key, "type": "result"})
            self._requests.put(None)
        elif isinstance(name, str) and name in self._handlers:
            if name in JOBS:
                with self._lock:
                    taken = _key(key) in self._cancelled
                    self._cancelled.setdefault(_key(key), threading.Event())
                if taken:
                    cause = f"A job with the id {_key(key)} is not done yet"
                    self._lines.write(_error(key, "request", cause, "give each its own"))
                    return
            self._requests.put(request)
        else:
            known = ", ".join(["hello", *self._handlers, "cancel", "quit"])
            self._lines.write(_error(key, "request", f"There is no request {name!r}", f"send one of {known}"))

    def _answer(self, request: dict[str, Any]) -> None:
        key = request.get("id")
        try:
            answer = {"id": key, "type": "result", **self._handlers[request["request"]](request)}
        except Exception as error:
            told = as_user_error(error)
            if isinstance(told, InternalError):
                traceback.print_exc()
            answer = _error(key, told.code, told.cause, told.remedy)
        if request["request"] in JOBS:
            with self._lock:
                del self._cancelled[_key(key)]
        self._lines.write(answer)

    def _job(self, request: Mapping[str, Any], run: JobHandler) -> dict[str, Any]:
        """Carry out a request that reports progress and can be cancelled."""
        key = request.get("id")
        cancelled = self._cancelled[_key(key)]
        if cancelled.is_set():
            raise Cancelled
        return run(
            request, lambda fields: self._lines.write({"id": key, "type": "progress", **fields}), cancelled.is_set
        )


def _error(key: Any, code: str, cause: str, remedy: str) -> dict[str, Any]:
    message = f"{cause}; {remedy}."
    return {"id": key, "type": "error", "code": code, "cause": cause, "remedy": remedy, "message": message}


def _key(value: Any) -> str:
    """An id (any JSON value) as a key of a dictionary."""
    return json.dumps(value, sort_keys=True)


def end_at_once(folder: PrivateFolder) -> NoReturn:
    """End the process from any thread, and remove temporary files."""
    with contextlib.suppress(Exception):
        discard_all()
        folder.remove()
        sys.stderr.flush()
    os._exit(0)


def limit_threads(count: int) -> None:
    """Limit the threads of libraries that are imported afterwards."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(count)


def main() -> None:
    """Reserve the standard streams and run the worker."""
    parser = argparse.ArgumentParser(prog="python -m AutofocusCore.worker", description="Compute for another process.")
    parser.add_argument("--folder", type=Path, help="private folder, new or named autofocus-...; removed at the end")
    parser.add_argument("--threads", type=int, help="number of threads")
    parser.add_argument("--memory-share", type=float, default=1.0, help="share of the free memory, up to 1")
    args = parser.parse_args()
    lines = take_standard_streams()
    if args.threads:
        limit_threads(args.threads)
    prepare_process()
    folder = PrivateFolder(args.folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what happens
    signal.signal(signal.SIGTERM, lambda number, frame: end_at_once(folder))
    try:
        remove_abandoned(*([args.folder.absolute().parent] if args.folder else []))
        tempfile.tempdir = str(folder.path())  # for this process's libraries
        os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), tempfile.tempdir))  # and for its children
        Worker(lines, folder, args.memory_share).run()
    except BaseException:
        traceback.print_exc()
    end_at_once(folder)
