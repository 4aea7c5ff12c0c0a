"""The tests' own processes: what is said of one must not be said of an older one with the same number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from Testing import fork_server
from Testing.waiting import patience

pytestmark = pytest.mark.skipif(not fork_server.POSSIBLE, reason="processes are not forked on this system")


def test_a_process_whose_number_an_older_one_had_still_runs_and_can_be_killed() -> None:
    """Systems use numbers again: with 32,768 of them, a long run of these tests comes round."""
    fork_server.run([sys.executable, "-c", "pass"], cwd=Path.cwd(), env=dict(os.environ))  # starts the server
    server = fork_server._server
    assert server is not None
    highest = min(int(Path("/proc/sys/kernel/pid_max").read_text()), 200_000)
    free = set(range(1, highest)) - set(psutil.pids()) - set(server.ended)
    server.ended.update(dict.fromkeys(free, 0))
    try:
        command = [sys.executable, "-c", "print('ready', flush=True); input()"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = fork_server.start(command, cwd=Path.cwd(), env=dict(os.environ), encoding="utf-8", **pipes)
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        process.kill()
        assert process.wait(patience()) == -signal.SIGKILL
    finally:
        for number in free:
            server.ended.pop(number, None)
