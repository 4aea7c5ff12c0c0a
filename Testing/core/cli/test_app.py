"""The frame of the command line: what it prints where a terminal can show little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.waiting import patience

ROOT = Path(__file__).resolve().parents[3]


def test_what_a_terminal_cannot_show_is_replaced() -> None:
    for encoding in ("ascii", "latin-1:strict", "utf-8"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        command = [sys.executable, "-m", "AutofocusCore.cli", "segment", "--help"]
        run = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert (run.returncode, run.stderr) == (0, b""), encoding
        assert b"75" in run.stdout
        assert (b"75?" in run.stdout) == (encoding == "ascii")


EARLY = """
import runpy, sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "AutofocusCore.cli.interrupt":
            print("loading", flush=True)
            time.sleep(20)
sys.meta_path.insert(0, Slow())
sys.argv[0] = "autofocus"
from AutofocusCore.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="Signals are POSIX's.")
def test_ctrl_c_before_anything_is_loaded_is_a_sentence() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", EARLY]
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731  (a shell may ignore it)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patience())
    assert process.returncode == 1
    assert said == "autofocus: The run was interrupted; nothing was written, start it again when you like.\n"


def test_importing_the_command_line_changes_no_signal() -> None:
    code = "import signal; before = signal.getsignal(2); import AutofocusCore.cli; assert signal.getsignal(2) is before"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
