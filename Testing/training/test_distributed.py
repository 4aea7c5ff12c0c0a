"""Two processes train as one with the doubled batch: same losses, same weights, same statistics."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from AutofocusCore.errors import SettingError
from Testing import fork_server
from Testing.training.conftest import TINY
from Training.configuration.config import load_config
from Training.loop.distributed import ProcessGroup, SyncBatchNorm3d, process_group
from Training.train import train

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[model]
structures = ["Bladder", "Prostate"]
architecture = { dilation_rates = [2, 3] }
[data]
watch = 2
[segments]
size = [4, 4, 4]
per_step = 2
[optimizer]  # not Adam, which makes steps of the usual size out of gradients that are zero but for rounding
name = "sgd"
momentum = 0.9
learning_rate = 0.01
[run]
steps = 3
loss = "both"
background_weight = 0.5
average = 0.9
batch_norm = "all"
precision = "float32"
watch_every = 3
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five small volumes, bright where they are labelled."""
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    for number in range(5):
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[3:8, 2 + number : 6 + number, 2:6] = 1
        labels[3:8, 4:9, 7:10] = 2
        image = (40.0 * labels + rng.normal(100, 10, labels.shape)).astype(np.float32)
        for part, array in (("imagesTr", image), ("labelsTr", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / part / f"case_{number}.nii.gz"))
    names = [f"case_{number}" for number in range(5)]
    (folder / "split.json").write_text(json.dumps({"train": names, "validation": []}), encoding="utf-8")
    return folder


def by_torchrun(arguments: list[str]) -> None:
    """`torchrun --nproc-per-node 2 Training/train.py`; raises with the fault of a process that fails."""
    from torch.distributed.run import main as torchrun

    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    torchrun(["--standalone", "--nproc-per-node", "2", str(ROOT / "Training" / "train.py"), *arguments])
    for number, handler in signals.items():  # which torchrun takes over and keeps
        signal.signal(number, handler)


def by_forks(arguments: list[str]) -> None:
    """Two processes with the environment variables that torchrun sets; they have torch loaded already."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared = {**os.environ, "PYTHONPATH": str(ROOT), **shared}
    command = [sys.executable, "-m", "Training.train", *arguments]
    environments = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    options = {"cwd": ROOT, "preload": fork_server.TRAINING}
    processes = [fork_server.start(command, env=environment, **options) for environment in environments]
    assert [process.wait() for process in processes] == [0, 0]


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sums over several threads are rounded otherwise; and what the processes started here need."""
    for name, value in {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "USE_LIBUV": "0"}.items():
        monkeypatch.setenv(name, value)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.skipif(not torch.distributed.is_available(), reason="This PyTorch is built without distributed training.")
@pytest.mark.parametrize("start_two", [by_forks, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_follow_the_losses_of_one_with_the_doubled_batch(
    tmp_path: Path, data: Path, start_two: Callable[[list[str]], None]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY + CONFIG.replace("[data]", f'[data]\nfolder = "{data.as_posix()}"'), encoding="utf-8")
    train(load_config(config), tmp_path / "one")
    halved = ["--set", "segments.per_step=1"]
    start_two([str(config), "--out", str(tmp_path / "two"), "--threads", "1", *halved])

    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=5e-4)
    assert losses(tmp_path / "one")[-1] != pytest.approx(losses(tmp_path / "one")[0], abs=0.01)  # they do change
    logs = [(tmp_path / run / "log.jsonl").read_text(encoding="utf-8").splitlines() for run in ("one", "two")]
    assert [json.loads(line)["cases"] for line in logs[0]] == [json.loads(line)["cases"] for line in logs[1]]
    states = [torch.load(tmp_path / run / "checkpoint.pt", weights_only=True) for run in ("one", "two")]
    for name, value in states[0]["average"].items():
        torch.testing.assert_close(states[1]["average"][name], value, atol=2e-3, rtol=1e-2, msg=name)
    assert states[0]["best"] == pytest.approx(states[1]["best"], abs=1e-3)

    with pytest.raises(SettingError, match="has 2 segments in a step, not 1; start as many processes as before"):
        train(load_config(config, halved[1:]), tmp_path / "two")


def test_batch_norm_of_one_process_is_torchs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain, shared = nn.BatchNorm3d(4).train(), SyncBatchNorm3d(4).train()
    nn.init.normal_(plain.weight)
    shared.load_state_dict(plain.state_dict())
    meeting = (tmp_path / "meeting").as_uri()
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
    try:
        for _ in range(2):
            x = [
                (3 + torch.randn(2, 4, 5, 6, 7, generator=torch.Generator().manual_seed(1))).requires_grad_()
                for _ in "ab"
            ]
            results = [norm(one) for norm, one in zip((plain, shared), x, strict=True)]
            torch.testing.assert_close(*results)
            for result in results:
                (result * torch.arange(7)).square().sum().backward()
            torch.testing.assert_close(x[0].grad, x[1].grad, atol=1e-3, rtol=1e-4)
    finally:
        torch.distributed.destroy_process_group()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)
    torch.testing.assert_close(shared.eval()(x[1]), plain.eval()(x[0]))


def test_a_process_alone_is_the_first_and_gathers_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with process_group() as alone:
        assert isinstance(alone, ProcessGroup)
        assert alone.is_main
        assert alone.all_gather("it") == ["it"]
        network = nn.Linear(1, 1)
        assert alone.wrap(network) is network
