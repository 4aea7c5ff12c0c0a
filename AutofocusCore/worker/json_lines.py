"""JSON objects, one per line, over a process's standard streams, which nothing else may use."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from AutofocusCore.io.texts import load_json

MAX_LINE = 1 << 20
"""Bytes; longer lines are skipped and not kept in memory."""


@dataclass(frozen=True)
class BadLine:
    """A line that is not a JSON object, and why."""

    cause: str


class Lines:
    """Reads and writes lines over file descriptors, without Python's buffers, whose locks could block the exit."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._lock = threading.Lock()

    def read(self) -> Iterator[dict[str, Any] | BadLine]:
        """Yield every line until the stream ends."""
        rest, skipping = b"", False
        while block := self._block():
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if skipping:
                    skipping = False
                elif line.strip():
                    yield parse_line(line)
            if len(rest) > MAX_LINE:
                if not skipping:
                    yield BadLine(f"A line is longer than {MAX_LINE} bytes")
                rest, skipping = b"", True

    def _block(self) -> bytes:
        try:
            return os.read(self._source, 1 << 16)
        except OSError:
            return b""

    def write(self, value: dict[str, Any]) -> None:
        """Write one line as a whole, from any thread."""
        data = (json.dumps(_finite(value), separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")
        with self._lock:
            while data:
                data = data[os.write(self._target, data) :]


def parse_line(line: bytes) -> dict[str, Any] | BadLine:
    """The object on a line."""
    if len(line) > MAX_LINE:
        return BadLine(f"A line is longer than {MAX_LINE} bytes")
    try:
        value = load_json(line)
    except ValueError:
        return BadLine(f"The line {line[:60]!r} is not JSON")
    return value if isinstance(value, dict) else BadLine(f"The line {line[:60]!r} is not a JSON object")


def take_standard_streams() -> Lines:
    """Reserve stdin and stdout for the protocol.

    Afterwards descriptor 1 is stderr, so that output of libraries, in Python or C, cannot mix with the lines, and
    descriptor 0 is empty, so that nothing else reads the requests.
    """
    sys.stdout.flush()
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return Lines(source, target)


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON cannot express."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
