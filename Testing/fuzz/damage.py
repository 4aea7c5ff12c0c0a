"""Ways to damage a file, and to make a header hostile. Everything follows from a random generator with a seed."""

from __future__ import annotations

import gzip
import re
import shutil
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom

from Testing.fuzz.seeds import TEXT

NUMBERS = [
    *("0", "-1", "1", "2", "3", "4", "7", "99", "255", "65535", "65536", "1000000", "2147483647", "2147483648"),
    *("4294967296", "99999999999999999999", "0.5", "1e-30", "1e30", "1e300", "-1e9", "nan", "inf", "-inf", "0x10"),
    *("1e", "1,5", "²", "%s", "%n", "%0999999999d", "../../x", "/dev/zero", "\0", "none", "True", "LOCAL", "LIST"),
]
DICOM_FIELDS = [
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImagePositionPatient"),
    *("ImageOrientationPatient", "PhotometricInterpretation", "Modality", "SeriesInstanceUID", "SeriesNumber"),
    *("ImageType", "SOPInstanceUID", "InstanceNumber", "PixelData", "SharedFunctionalGroupsSequence"),
    "PerFrameFunctionalGroupsSequence",
]
DICOM_VALUES = (
    b"", b"0", b"1", b"-1", b"nan", b"inf", b"abc", b"1e300", b"1\\2", b"1\\2\\3", b"0\\0\\0\\0\\0\\0", b"999999999999",
    b"\0\0", b"\xff\xff", b"\x01\x00", b"\x10\x00", b"\xff\x7f", b"MONOCHROME1", b"RGB", b"SEG", b"1" * 5000,
)  # fmt: skip


def damaged_copy(seed_path: Path, into: Path, rng: np.random.Generator) -> Path:
    """A copy of a sound file, or folder of files, with one to three damages; what a user would name of it."""
    into.mkdir(parents=True)
    if seed_path.is_dir():
        shutil.copytree(seed_path, into / "series")
        target = into / "series"
        victims = sorted(target.iterdir())
    else:
        for part in seed_path.parent.iterdir():
            same = part.name.split(".")[0] == seed_path.name.split(".")[0] or part.suffix == ".raw"
            if part.is_file() and same:
                shutil.copy(part, into / part.name)
        target = into / seed_path.name
        own = [part for part in sorted(into.iterdir()) if not part.name.startswith("slice")]
        victims = own if rng.random() < 0.3 else [target]
    for _ in range(int(rng.integers(1, 4))):
        victim = victims[int(rng.integers(len(victims)))]
        if victim.is_file():
            damage(victim, rng)
    return target


def damage(path: Path, rng: np.random.Generator) -> None:
    """Damage one file in one way, most often in its header."""
    ways = [_flip, _flip_header, _cut, _zero, _insert]
    name = path.name.lower()
    if name.endswith(TEXT):
        ways += 6 * [_text]
    elif path.suffix == ".dcm" or path.parent.name == "series":
        ways += 6 * [_element]
    elif ".gz" in name:
        ways += 5 * [_within_gzip]
    elif name.endswith((".nii", ".hdr")):
        ways += 6 * [_word]
    ways[int(rng.integers(len(ways)))](path, rng)


def _flip(path: Path, rng: np.random.Generator) -> None:
    raw = bytearray(path.read_bytes())
    for at in rng.integers(0, max(1, len(raw)), 1 + len(raw) // 500):
        if raw:
            raw[at] = int(rng.integers(256))
    path.write_bytes(raw)


def _flip_header(path: Path, rng: np.random.Generator) -> None:
    raw = bytearray(path.read_bytes())
    for at in rng.integers(0, max(1, min(600, len(raw))), 3):
        if raw:
            raw[at] = int(rng.integers(256))
    path.write_bytes(raw)


def _cut(path: Path, rng: np.random.Generator) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * rng.random())])


def _zero(path: Path, rng: np.random.Generator) -> None:
    raw = bytearray(path.read_bytes())
    start = int(rng.integers(0, max(1, len(raw))))
    raw[start : start + 200] = bytes(len(raw[start : start + 200]))
    path.write_bytes(raw)


def _insert(path: Path, rng: np.random.Generator) -> None:
    raw = path.read_bytes()
    at = int(rng.integers(0, max(1, len(raw))))
    path.write_bytes(raw[:at] + rng.bytes(int(rng.integers(1, 300))) + raw[at:])


def _word(path: Path, rng: np.random.Generator) -> None:
    """Another number in a place of the binary header."""
    raw = bytearray(path.read_bytes())
    kind = ("<i2", "<i4", "<f4", "<i8", "<f8")[int(rng.integers(5))]
    values = (0, -1, 1, 2, 348, 540, 32767, 65535, 2**31 - 1, 1e9, float("nan"), float("inf"), -1e30)
    value = values[int(rng.integers(len(values)))]
    with np.errstate(all="ignore"):
        word = np.array(value).astype(kind).tobytes()
    at = int(rng.integers(0, 136)) * 4
    raw[at : at + len(word)] = word
    path.write_bytes(raw)


def _within_gzip(path: Path, rng: np.random.Generator) -> None:
    try:
        plain = path.with_name("plain.nii")
        plain.write_bytes(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error):
        return
    (_word if rng.random() < 0.7 else _flip_header)(plain, rng)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


def _text(path: Path, rng: np.random.Generator) -> None:
    """Another word, a line less, a line twice, lines exchanged, in a header of text."""
    raw = path.read_bytes()
    lines = raw.split(b"\n")
    count = max(1, min(len(lines), 16))
    at = int(rng.integers(count))
    way = rng.random()
    if way < 0.65:
        words = re.split(rb"([ (),=:])", lines[at])
        places = [i for i, word in enumerate(words) if word.strip() and i] or [0]
        words[places[int(rng.integers(len(places)))]] = NUMBERS[int(rng.integers(len(NUMBERS)))].encode()
        lines[at] = b"".join(words)
    elif way < 0.8:
        del lines[at]
    elif way < 0.9:
        lines.insert(at, lines[at])
    else:
        other = int(rng.integers(count))
        lines[at], lines[other] = lines[other], lines[at]
    path.write_bytes(b"\n".join(lines))


def _element(path: Path, rng: np.random.Generator) -> None:
    """Another value of a DICOM element, or none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _change_element(path, rng)
    except Exception:
        _flip_header(path, rng)  # pydicom does not write such a thing


def _change_element(path: Path, rng: np.random.Generator) -> None:
    data = pydicom.dcmread(path, force=True)
    name = DICOM_FIELDS[int(rng.integers(len(DICOM_FIELDS)))]
    places = [data, *(data.get("SharedFunctionalGroupsSequence") or []), *_groups(data)]
    holders = [place for place in places if name in place]
    if not holders:
        return
    holder = holders[int(rng.integers(len(holders)))]
    if rng.random() < 0.25:
        del holder[name]
    elif name == "PixelData":
        holder.PixelData = holder.PixelData[: int(len(holder.PixelData) * rng.random()) // 2 * 2]
    else:
        value = DICOM_VALUES[int(rng.integers(len(DICOM_VALUES)))]
        element = holder[name]
        kind = "UN" if element.VR == "SQ" else element.VR
        holder[name] = pydicom.DataElement(element.tag, kind, None)
        holder[name] = pydicom.dataelem.RawDataElement(
            element.tag, kind, len(value), value, 0, bool(data.is_implicit_VR), True
        )
    data.save_as(path)


def _groups(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    found = []
    for group in [
        *(data.get("SharedFunctionalGroupsSequence") or []),
        *(data.get("PerFrameFunctionalGroupsSequence") or []),
    ]:
        for element in group:
            if element.VR == "SQ":
                found.extend(element.value)
    return found
