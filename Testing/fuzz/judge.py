"""What came of reading a file: refused in a sentence, or sound; anything else is a fault of ours.

`python -m Testing.fuzz.judge` reads a path a line and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from AutofocusCore.errors import InputError
from AutofocusCore.images import frame_count, read_image

UNFORESEEN = "in an unexpected way"
"""Words of the sentence that stands for every error that no code thought of."""


def judge(path: Path) -> tuple[str, str]:
    """("refused", sentence), ("sound", what) or ("fault", what)."""
    try:
        try:
            scan = read_image(path)
        except InputError as error:
            if "volumes (frames)" not in str(error):
                return _judge_sentence(str(error))
            scan = read_image(path, frame=frame_count(path) - 1)
    except InputError as error:
        return _judge_sentence(str(error))
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {error}"
    values = sitk.GetArrayViewFromImage(scan.image)
    if scan.image.GetDimension() != 3 or min(values.shape) < 1:
        return "fault", f"the result has the size {values.shape}"
    if not np.all(np.isfinite(values)):
        return "fault", "the result has voxels that are no numbers"
    if not np.all(np.isfinite(scan.image.GetSpacing())) or min(scan.image.GetSpacing()) <= 0:
        return "fault", f"the result has the spacing {scan.image.GetSpacing()}"
    for warning in scan.warnings:
        if "\n" in warning or not warning.endswith("."):
            return "fault", f"a warning is no sentence: {warning}"
    return "sound", f"{values.shape} {len(scan.warnings)} warnings"


def _judge_sentence(text: str) -> tuple[str, str]:
    if "\n" in text or not text.endswith(".") or len(text) > 2000 or "Traceback" in text:
        return "fault", f"no sentence: {text[:300]!r}"
    if UNFORESEEN in text:
        return "unforeseen", text
    return "refused", text


@contextmanager
def _what_is_printed() -> Iterator[list[str]]:
    """Whatever anyone prints on the two standard streams meanwhile, libraries included."""
    said: list[str] = []
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        try:
            yield said
        finally:
            sys.stdout.flush()
            for stream, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
            file.seek(0)
            said.append(file.read(2000).decode(errors="replace"))


def peak_megabytes() -> int:
    """The most memory that this process had so far."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def processor_seconds() -> float:
    """What this process and its children have computed so far: waiting for a busy machine does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Judge files until there are no more."""
    for line in sys.stdin:
        start = processor_seconds()
        with _what_is_printed() as said:
            outcome, what = judge(Path(line.rstrip("\n")))
        if said[0]:
            outcome, what = "fault", f"a library printed {said[0]!r}"
        seconds = processor_seconds() - start
        print(json.dumps({"outcome": outcome, "what": what, "seconds": seconds, "peak": peak_megabytes()}), flush=True)


if __name__ == "__main__":
    main()
