"""The frame of the command line: what it prints where a terminal can show little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_what_a_terminal_cannot_show_is_replaced() -> None:
    for encoding in ("ascii", "latin-1:strict", "utf-8"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        command = [sys.executable, "-m", "AutofocusCore.cli", "segment", "--help"]
        run = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert (run.returncode, run.stderr) == (0, b""), encoding
        assert b"75" in run.stdout
        assert (b"75?" in run.stdout) == (encoding == "ascii")
