"""The files of one image, whose header and voxels may be in different files. The image has changed if one of them has.

MetaImage (.mhd), NRRD (.nhdr) and Analyze or NIfTI pairs (.hdr) name other files, or imply one of the same stem. All
files that a header names are taken; a superfluous one does no harm, because this only detects changes.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from AutofocusCore.io.atomic import stem_of, suffix_of

HEADERS = (".mhd", ".nhdr", ".hdr", ".mha", ".nrrd")
HEADER_BYTES = 1 << 20
MOST_FILES = 10_000
FIELD = re.compile(r"^\s*(?:ElementDataFile\s*=|data\s?file\s*:)(.*)", re.IGNORECASE)


def files_of(image: Path) -> list[Path]:
    """The image's file or folder, then the files of its voxels, by name."""
    if suffix_of(image) not in HEADERS or not image.is_file():
        return [image]
    found = {image.parent / name for name in _same_stem(image)} | set(_named(image))
    return [image, *sorted(found - {image})[:MOST_FILES]]


def _same_stem(image: Path) -> list[str]:
    endings = (".img", ".img.gz", ".raw", ".raw.gz", ".zraw", ".gz", ".bz2")
    names = (f"{stem_of(image)}{ending}" for ending in endings)
    return [name for name in names if (image.parent / name).is_file()]


def _named(image: Path) -> list[Path]:
    """The files that the header names: one, one in each line of a list, or a pattern such as slice%03d.raw 1 24 1."""
    try:
        with image.open("rb") as stream:
            text = stream.read(HEADER_BYTES).decode("latin-1")
    except OSError:
        return []
    lines = text.splitlines()
    at = next((number for number, line in enumerate(lines) if FIELD.match(line)), None)
    if at is None:
        return []
    field = FIELD.match(lines[at])
    assert field is not None
    words = [field[1].strip(), *field[1].split()]
    if field[1].split()[:1] and field[1].split()[0].upper() == "LIST":
        words += [line.strip() for line in lines[at + 1 : at + 1 + MOST_FILES]]
    found = []
    for word in words:
        if not word or "\0" in word or len(word) > 1000:
            continue
        found += _matching(image.parent, word)
    return found


def _matching(folder: Path, word: str) -> list[Path]:
    try:
        if "%" not in word:
            return [folder / word] if (folder / word).is_file() else []
        place = folder / word
        name = re.compile(re.sub(r"%\d{0,3}[dui]", r"\\d+", re.escape(place.name).replace(r"\%", "%")))
        entries = itertools.islice(place.parent.iterdir(), MOST_FILES)
        return [entry for entry in entries if name.fullmatch(entry.name)]
    except (OSError, ValueError, re.error):
        return []
