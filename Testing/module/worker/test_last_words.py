"""What the end of a worker process is called, from its exit status and its last lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from AutofocusSegmentationLib.worker.last_words import ErrorStream, why_it_ended


@pytest.mark.parametrize(
    ("code", "lines", "cause", "remedy"),
    [
        (-9, [], "ran out of memory", "close other programs"),
        (1, ["Traceback", "MemoryError: Unable to allocate 9 GiB"], "ran out of memory", "close other programs"),
        (
            1,
            ["ModuleNotFoundError: No module named 'numpy'"],
            "No module named 'numpy'",
            "install this extension again",
        ),
        (-11, ["Fatal Python error: Segmentation fault"], "Segmentation fault", "report it"),
        (3, [], "exit status 3", "report it"),
    ],
)
def test_the_reason_is_what_the_process_said_and_lack_of_memory_only_where_that_is_likely(
    code: int, lines: list[str], cause: str, remedy: str
) -> None:
    told = why_it_ended(code, lines)
    assert cause in told[0]
    assert remedy in told[1]
    assert ("memory" in told[0]) == ("memory" in cause)


def test_the_error_stream_is_read_once(tmp_path: Path) -> None:
    stream = ErrorStream(tmp_path / "log")
    assert stream.news() == [], "not there yet"
    with (tmp_path / "log").open("w") as file:
        file.write("one\n\ntwo\n")
        file.flush()
        assert stream.news() == ["one", "two"]
        file.write("three\n")
        file.flush()
        assert stream.news() == ["three"]
