"""Names of the files with an image's voxels in NRRD and MetaImage headers: a list, or a pattern with a number.

Patterns are those of C's printf. Only one number, of a few digits, is filled in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from AutofocusCore.images.files import malformed

MOST_FILES = 20_000
NUMBER = re.compile(r"%(0?)(\d?)[du]")


def listed(header: Path, lines: Sequence[str], name: str) -> list[Path]:
    """The files that a list names, beside the header, a line each."""
    names = [line.rstrip("\r\n") for line in lines if line.strip()]
    if not names or len(names) > MOST_FILES:
        raise malformed(name, f"it lists {len(names)} files with voxels")
    return [beside(header, one, name) for one in names]


def numbered(header: Path, text: str, name: str) -> list[Path]:
    """The files of a pattern, "slice%03d.raw 1 120 1", or the one file of a plain name, beside the header."""
    if "%" not in text:
        return [beside(header, text, name)]
    words = text.split()
    pattern, numbers = words[0], words[1:]
    if len(NUMBER.findall(pattern)) != 1 or pattern.count("%") != 1:
        plain = beside(header, text, name)
        if plain.is_file():
            return [plain]  # a name with a percent sign in it
        raise malformed(name, f"its pattern of files {pattern[:60]!r} is not a name with one number, such as %03d")
    whole = all(re.fullmatch(r"-?\d{1,7}", word) for word in numbers)
    if len(numbers) not in (2, 3, 4) or not whole:
        raise malformed(name, f"its pattern of files {text[:60]!r} lacks a first and a last number")
    first, last, step = int(numbers[0]), int(numbers[1]), int(numbers[2]) if len(numbers) > 2 else 1
    count = (last - first) // step + 1 if step else 0
    if not 1 <= count <= MOST_FILES or first < 0 or last < 0:
        raise malformed(name, f"its pattern of files {text[:60]!r} stands for {count} files")

    def filled(number: int) -> str:
        return NUMBER.sub(lambda found: f"{number:{found[1]}{found[2]}d}", pattern)

    return [beside(header, filled(first + i * step), name) for i in range(count)]


def beside(header: Path, file: str, name: str) -> Path:
    """The path of a file that a header names, which may be in another folder."""
    if not file.strip() or "\0" in file or len(file) > 4096:
        raise malformed(name, f"it names {file[:40]!r} as the file with its voxels")
    return header.parent / file
