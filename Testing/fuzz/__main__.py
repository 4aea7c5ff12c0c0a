"""Read thousands of damaged files and count what comes of it: `make fuzz`, or `python -m Testing.fuzz --count 500`.

Every file follows from the seed, so that a fault can be made again: `--family NRRD --seed 0 --only 137 --keep`.
Reading goes on in another process, so that a crash or a hang is counted and not suffered. The exit status is 1 where
anything but a sentence or a sound result came out.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from Testing.fuzz.damage import damaged_copy
from Testing.fuzz.seeds import FAMILIES, write_seeds

SECONDS = 5.0
"""A file is refused within this."""
HANGS = 120.0
MEGABYTES = 1024


class Reader:
    """A process that judges files, started anew when it dies."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "Testing.fuzz.judge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._answers), daemon=True).start()

    @staticmethod
    def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answers.put(line)
        answers.put("")

    def judge(self, path: Path) -> dict[str, Any]:
        """What came of a file."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{path}\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=HANGS)
        except queue.Empty:
            line, what = "", "it hangs"
        except OSError:
            line, what = "", "the reading process died"
        else:
            what = f"the reading process died ({self._process.wait() if not line else ''})"
        if line:
            return dict(json.loads(line))
        self.close()
        self._start()
        return {"outcome": "fault", "what": what, "seconds": HANGS, "peak": 0}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def run(
    family: str, count: int, seed: int, folder: Path, only: int | None, keep: bool
) -> tuple[Counter[str], list[str]]:
    """Judge so many damaged files of a family: the counts, and what was wrong with which."""
    seeds = write_seeds(family, folder / "sound")
    counts: Counter[str] = Counter()
    faults = []
    reader = Reader()
    try:
        for path in seeds:
            answer = reader.judge(path)
            if answer["outcome"] != "sound" and path.suffix != ".png":
                faults.append(f"{family}: the sound file {path.name}: {answer['what']}")
        for number in range(count) if only is None else [only]:
            rng = np.random.default_rng([seed, FAMILIES.index(family), number])
            target = damaged_copy(seeds[number % len(seeds)], folder / str(number), rng)
            answer = reader.judge(target)
            counts[answer["outcome"]] += 1
            slow = answer["seconds"] > SECONDS and answer["outcome"] != "sound"
            if answer["outcome"] in ("fault", "unforeseen") or slow or answer["peak"] > MEGABYTES:
                cost = f"{answer['seconds']:.1f} s, {answer['peak']} MB"
                faults.append(f"{family} {number} ({target.name}, {cost}): {answer['outcome']}: {answer['what']}")
            if not keep:
                shutil.rmtree(folder / str(number))
    finally:
        reader.close()
    return counts, faults


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(prog="python -m Testing.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="files of each family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--only", type=int, help="only the file of this number")
    parser.add_argument("--keep", action="store_true", help="keep the files, and print where")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="autofocus-fuzz-"))
    everything = []
    print(f"{'family':12} {'files':>6} {'refused':>8} {'sound':>6} {'else':>5}", flush=True)
    try:
        for family in args.family or FAMILIES:
            counts, faults = run(family, args.count, args.seed, folder / family, args.only, args.keep)
            total, other = counts.total(), counts.total() - counts["refused"] - counts["sound"]
            print(f"{family:12} {total:6} {counts['refused']:8} {counts['sound']:6} {other:5}", flush=True)
            everything += faults
    finally:
        if args.keep:
            print(f"The files are in {folder}")
        else:
            shutil.rmtree(folder)
    print(*everything, sep="\n")
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
