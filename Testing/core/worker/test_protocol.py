"""The worker, as a process: its protocol, its warmth, and what it survives and does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

from AutofocusCore.phantom import make_phantom
from Testing import fork_server
from Testing.waiting import alive, wait_until

ROOT = Path(__file__).resolve().parents[3]
HANGS = 60.0  # seconds after which a process counts as hanging; it takes milliseconds


class Conversation:
    """A worker, what it said so far, and what it printed."""

    def __init__(self, *arguments: str, prelude: str = "", fresh: bool = False) -> None:
        run = "import runpy; runpy.run_module('AutofocusCore.worker', run_name='__main__')"
        self.process = (subprocess.Popen if fresh else fork_server.start)(
            [sys.executable, "-c", f"{prelude}\n{run}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        self.errors = b""
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line

    def send(self, **request: Any) -> None:
        self.send_raw(json.dumps(request).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        """The next line, which must be JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.errors.decode()
        return dict(json.loads(line))

    def answer(self, key: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The answer to a request, and the progress until then."""
        progress = []
        while True:
            message = self.next()
            if message["id"] == key and message["type"] != "progress":
                return message, progress
            progress.append(message)

    def ask(self, **request: Any) -> dict[str, Any]:
        self.send(**request)
        return self.answer(request["id"])[0]

    def end(self) -> int:
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return self.process.wait(HANGS)


Talk = Callable[..., Conversation]


@pytest.fixture
def talk() -> Iterator[Talk]:
    """Start workers that end with the test; fresh ones load torch themselves."""
    started: list[Conversation] = []

    def start(*arguments: str, prelude: str = "", fresh: bool = False) -> Conversation:
        started.append(Conversation(*arguments, prelude=prelude, fresh=fresh))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


# Whatever is printed, from Python or from C, before, while and after.
NOISE = """
import os
os.write(2, b'early ')
import AutofocusCore.jobs.run as running
real = running.run_job
def noisy(*args, **kwargs):
    print('printed')
    os.write(1, b'{"written": "by C"}\\n')
    return real(*args, **kwargs)
running.run_job = noisy
"""


def test_a_conversation(talk: Talk, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path) -> None:
    worker = talk(prelude=NOISE, fresh=True)
    hello = worker.ask(id=1, request="hello")
    assert (hello["type"], hello["protocol"], hello["pid"]) == ("result", 2, worker.process.pid)
    folder = Path(hello["folder"])
    assert folder.is_dir()
    if os.name == "posix":
        assert folder.stat().st_mode & 0o077 == 0

    for line, cause in (
        (b"garbage\n", "is not JSON"),
        (b"\xff\xfe\x00\n", "is not JSON"),
        (b"[1, 2]\n", "is not a JSON object"),
        (b'{"id": 9, "request": "dance"}\n', "no request 'dance'"),
        (b'{"id": 9, "request": "segment"}\n', "no 'images'"),
        (b'{"id": 9, "request": "segment", "images": [], "model": "m", "outputs": {"x": 1}}\n', "malformed"),
        (b'{"id": 9, "request": "segment", "images": ["a"], "model": "no-such-model"}\n', "no model 'no-such-model'"),
        (b'{"id": 9, "request": "plan", "model": 3}\n', "model is 3"),
        (b'{"id": 9, "request": "teach", "model": "no-such-model"}\n', "no model 'no-such-model'"),
        (b'{"id": 9, "request": "teach", "model": "hippocampus-mr"}\n', "cases are None"),
        (b"x" * 1_500_000 + b"\n", "longer than"),
    ):
        worker.send_raw(line)
        error = worker.next()
        assert (error["type"], cause in error["message"]) == ("error", True), error
        assert error["message"] == f"{error['cause']}; {error['remedy']}."

    assert worker.ask(id=2, request="devices")["devices"][-1]["id"] == "cpu"
    assert isinstance(worker.ask(id=3, request="models")["models"], list)
    plan = worker.ask(id=4, request="plan", model=str(tiny_model), size=[100, 90, 80], spacing=[1, 1, 2])
    assert plan["peak_bytes"] > 1e6
    assert "peak" in plan["plan"]

    scan = write_random_image("ü.nrrd")
    job = {"request": "segment", "images": [str(scan)], "model": str(tiny_model)}
    settings = {"device": "cpu", "precision": "float32"}
    worker.send(id="first", **job, settings=settings, attention=True, probabilities=True)
    first, progress = worker.answer("first")
    assert first["type"] == "result", first
    assert [p["stage"] for p in progress] == sorted(
        (p["stage"] for p in progress), key=["read", "prepare", "predict", "resample", "write"].index
    )
    assert all(0 <= p["done"] <= p["total"] for p in progress)
    names = ["attention-1.npy", "dilation-1.npy", "labels.npy", "probabilities.npy", "reach.npy"]
    assert sorted(Path(file).name for file in first["files"]) == names
    assert all(folder in Path(file).parents for file in first["files"])

    outputs = {"segmentation": str(tmp_path / "o.seg.nrrd")}
    second = worker.ask(id={"any": ["id"]}, **job, settings=settings, outputs=outputs)
    assert second["model"]["name"] == "tiny"
    np.testing.assert_array_equal(
        np.load(first["labels"]["path"]), sitk.GetArrayFromImage(sitk.ReadImage(outputs["segmentation"]))
    )
    assert b"printed" in worker.errors
    assert b"by C" in worker.errors

    worker.send(id=8, request="quit")
    assert worker.answer(8)[0]["type"] == "result"
    assert worker.process.wait(HANGS) == 0
    assert not folder.exists()


def test_cancelling_ends_a_job_within_a_slab_and_leaves_nothing(
    talk: Talk, tiny_model: Path, write_random_image: Callable[..., Path], tmp_path: Path
) -> None:
    worker = talk()
    scan = write_random_image("large.nrrd", shape=(90, 90, 90))
    job = {"request": "segment", "images": [str(scan)], "model": str(tiny_model), "settings": {"device": "cpu"}}
    for key in (1, 2):
        worker.send(id=key, **job, outputs={"segmentation": str(tmp_path / f"{key}.seg.nrrd")})
    while worker.next().get("stage") != "predict":
        pass
    assert worker.ask(id=3, request="cancel", job=2)["cancelled"] is True  # waits still
    assert worker.ask(id=4, request="cancel", job=77)["cancelled"] is False
    worker.send(id=5, request="cancel", job=1)
    for key in (1, 2):
        answer, steps = worker.answer(key)
        assert answer["code"] == "cancelled"
        steps = [step for step in steps if step["type"] == "progress"]
        assert all(step["stage"] == "predict" and step["done"] < step["total"] for step in steps)
    assert [path.name for path in tmp_path.iterdir()] == ["large.nrrd"]

    # The worker is as good as new; and its parent's end is its own, in the middle of a job.
    worker.send(id=6, **job, outputs={"segmentation": str(tmp_path / "6.seg.nrrd")})
    while worker.next().get("stage") != "predict":
        pass
    assert worker.end() == 0
    assert worker.process.stdout is not None
    assert {json.loads(line)["type"] for line in worker.process.stdout} <= {"progress", "error"}
    assert [path.name for path in tmp_path.iterdir()] == ["large.nrrd"]


@pytest.mark.skipif(os.name != "posix", reason="Signals are POSIX's.")
def test_signals(talk: Talk) -> None:
    worker = talk()
    folder = Path(worker.ask(id=1, request="hello")["folder"])
    worker.process.send_signal(signal.SIGINT)  # from the terminal's Ctrl-C, which is the parent's business
    assert worker.ask(id=2, request="hello")["type"] == "result"
    worker.process.send_signal(signal.SIGTERM)
    worker.process.wait(HANGS)
    assert not folder.exists()


PARENT = """
import queue, sys, time
from AutofocusCore.worker.client import WorkerProcess
worker = WorkerProcess(queue.Queue())
print(worker.process.pid, flush=True)
time.sleep(60)
"""


def test_a_worker_does_not_outlive_a_parent_that_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    wait_until(lambda: not alive([worker]))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's.")
def test_what_a_killed_worker_leaves_the_next_one_removes(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = talk(*(["--folder", str(tmp_path / "autofocus-slicer")] if given else []))
    folder = Path(worker.ask(id=1, request="hello")["folder"])
    (folder / "channel-1.nrrd").write_bytes(b"a scan")
    worker.process.kill()
    worker.process.wait()
    assert folder.is_dir()
    another = talk()
    assert another.ask(id=1, request="hello")["folder"] != str(folder)
    assert not folder.exists()
    another.end()
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("how", ["end of stdin", "end of stdout", "fault"])
def test_any_end_of_the_pipe_ends_the_worker_and_its_folder(talk: Talk, tmp_path: Path, how: str) -> None:
    prelude = ""
    if how == "fault":
        prelude = "import AutofocusCore.worker.protocol as p\np.Worker._sort = lambda self, request: 1 / 0"
    folder = tmp_path / "autofocus-given"
    worker = talk("--folder", str(folder), prelude=prelude)
    if how != "fault":
        assert worker.ask(id=1, request="hello")["folder"] == str(folder)
    if how == "end of stdin":
        worker.end()
    elif how == "end of stdout":
        assert worker.process.stdout is not None
        worker.process.stdout.close()
        worker.send(id=2, request="cancel", job=1)  # its answer reaches nobody
    else:
        worker.send(id=2, request="hello")
    worker.process.wait(HANGS)
    assert not folder.exists()


def test_a_request_nested_too_deeply_is_refused_and_the_next_one_heard(talk: Talk) -> None:
    worker = talk()
    for depth in (600, 100_000):
        worker.send_raw(b'{"id": ' + b"[" * depth + b"]" * depth + b', "request": "cancel", "job": 1}\n')
        assert "is not JSON" in worker.next()["cause"]
    assert worker.ask(id=2, request="hello")["type"] == "result"


def test_temporary_files_of_libraries_lie_in_the_private_folder(talk: Talk) -> None:
    prelude = "import atexit, tempfile, AutofocusCore.worker.handlers as h\n"
    prelude += "h.RequestHandlers.models = lambda self, request: {'made': tempfile.mkdtemp()}"
    worker = talk(prelude=prelude)
    folder = Path(worker.ask(id=1, request="hello")["folder"])
    assert Path(worker.ask(id=2, request="models")["made"]).parent == folder


WITHOUT = ("psutil", "platformdirs", "safetensors", "slicerio", "nrrd", "rich", "tqdm", "pandas", "monai")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT!r}))  # importing them now fails"


def test_what_slicers_python_lacks_is_not_needed(talk: Talk, tmp_path: Path) -> None:
    ct, _ = make_phantom(3, size=(24, 20, 12), spacing=(10.0, 10.0, 10.0))
    sitk.WriteImage(ct, str(tmp_path / "ct.nrrd"))
    job = {"request": "segment", "images": [str(tmp_path / "ct.nrrd")], "model": "pelvis-phantom", "attention": True,
           "probabilities": True, "settings": {"device": "cpu", "precision": "float32"}}  # fmt: skip
    results = []
    for prelude in ("", BLOCK):
        worker = talk(prelude=prelude, fresh=bool(prelude))  # what is imported before a fork is not blocked
        assert worker.ask(id=1, request="hello")["type"] == "result"
        cpu = worker.ask(id=2, request="devices")["devices"][-1]
        assert 0 < cpu["free_bytes"] <= cpu["total_bytes"]
        names = [model["name"] for model in worker.ask(id=3, request="models")["models"]]
        assert "pelvis-phantom" in names
        plan = worker.ask(id=4, request="plan", model="pelvis-phantom", size=[24, 20, 12], spacing=[10, 10, 10])
        assert plan["seconds"] > 0, plan
        assert worker.ask(id=5, request="card", model="pelvis-phantom")["text"].startswith("#")
        result = worker.ask(id=6, **job)
        assert result["type"] == "result", result
        volumes = [np.load(path) for path in result["files"]]
        places = [result["labels"]["index_to_lps"], result["attention"][0]["weights"]["index_to_lps"]]
        results.append([volumes, result["volumes_ml"], result["structures"], names, places])
        folder = Path(result["labels"]["path"]).parent
        assert worker.ask(id=7, request="forget", job=6)["forgotten"] is True
        assert not folder.exists()
        bundle = ROOT / "AutofocusCore" / "bundles" / "pelvis-phantom"
        error = worker.ask(id=8, request="import", path=str(bundle))
        assert "comes with the program" in error["cause"]
        worker.end()
    (volumes, *others), (volumes_without, *others_without) = results
    assert others == others_without
    assert len(np.unique(volumes[0])) > 3
    for one, other in zip(volumes, volumes_without, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_array_equal(volumes[0], volumes_without[0])
