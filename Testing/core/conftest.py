"""A small model with random weights, and the command line and the worker as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from AutofocusCore.cli import main
from AutofocusCore.models import write_bundle
from AutofocusCore.networks.build import build_network
from Testing import fork_server
from Testing.small_models import small_spec

ROOT = Path(__file__).resolve().parents[2]
Autofocus = Callable[..., "subprocess.CompletedProcess[str]"]


def process_environment() -> dict[str, str]:
    """Environment of started processes: the checkout on the path, few threads, UTF-8."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


def restore_signals() -> None:
    """Tests in the background of a shell ignore SIGINT, and their children inherit that; undo it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle: AFN-1, one MR channel, two structures, weights such that both structures and background occur."""
    spec = small_spec(spacing=(1.0, 1.0, 1.0))
    torch.manual_seed(1)
    network = build_network(**spec.architecture)
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.kaiming_normal_(weight)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_bundle(folder, spec, network.state_dict(), "MIT License")


@pytest.fixture
def autofocus(tmp_path: Path) -> Autofocus:
    """Run the command line in a process of its own, in the test's folder."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "AutofocusCore.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=process_environment(), capture_output=True, encoding="utf-8", timeout=timeout,
            check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def autofocus_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, forked_workers: None
) -> Autofocus:
    """Run the command line in this process, where torch is loaded already."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


@pytest.fixture
def start_autofocus(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line, to be interrupted: forked with torch loaded, or, if `fresh`, in a new Python.

    A new Python is returned as soon as it has begun with the command. It says what it imports on stderr.
    """

    def start(*arguments: object, fresh: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "AutofocusCore.cli", *map(str, arguments)]
        options = {"cwd": tmp_path, "env": process_environment(), "encoding": "utf-8"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if not fresh:
            return fork_server.start(command, **options, **pipes)  # type: ignore[no-any-return]
        restore = restore_signals if os.name == "posix" else None
        command[1:1] = ["-X", "importtime"]
        process: subprocess.Popen[str] = subprocess.Popen(command, preexec_fn=restore, **options, **pipes)  # type: ignore[call-overload]
        assert process.stderr is not None
        while not process.stderr.readline().endswith(" AutofocusCore.cli\n"):
            assert process.poll() is None, process.stderr.read()
        return process

    return start
