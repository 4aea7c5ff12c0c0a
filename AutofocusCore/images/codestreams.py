"""Checks of compressed DICOM frames before decoding: all there, complete, and of the size in the header.

A decoder that gets fewer bytes or another size than it expects may return uninitialised memory.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from AutofocusCore.errors import InputError
from AutofocusCore.images.files import check_unpacked, damaged

END = b"\xff\xd9"
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
"""JPEG's markers without a length."""
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
"""JPEG's markers of a frame, and JPEG-LS's."""
J2K_BOX = b"\x00\x00\x00\x0cjP  "


def check_frames(data: Any, frames: int, path: Path) -> None:
    """Refuse compressed pixel data that do not fit the header.

    Raises:
        InputError: frames missing or cut short; another size or more bits than the header says; a bomb.
    """
    from pydicom.encaps import generate_frames

    rows, columns, allocated = int(data.Rows), int(data.Columns), int(data.BitsAllocated)
    check_unpacked(path, rows * columns * frames * allocated // 8, str(path))
    try:
        every = list(generate_frames(data.PixelData, number_of_frames=frames))
    except Exception:
        raise damaged(path, "its compressed frames are inconsistent") from None
    if len(every) != frames:
        raise damaged(path, f"its header says {frames} frames, but it has {len(every)}")
    for frame in every:
        found = size_of(frame)
        if found is None:
            continue
        width, height, bits = found
        if (width, height) != (columns, rows) or bits > allocated:
            raise InputError(
                f"{path} has compressed pixels of {width} × {height} with {bits} bits, but its header describes "
                f"{columns} × {rows} with {allocated}",
                "copy it again, or export it again from its source",
            )
        if END not in frame[-64:]:
            raise damaged(path, "a compressed frame is cut short")


def size_of(frame: bytes) -> tuple[int, int, int] | None:
    """(width, height, bits) from the header of a JPEG, JPEG-LS or JPEG 2000 code stream; None for other data."""
    if frame[:8] == J2K_BOX:
        start = frame.find(b"\xff\x4f\xff\x51")
        frame = frame[start:] if start >= 0 else frame
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 43:
        x1, y1, x0, y0 = struct.unpack(">4I", frame[8:24])
        return x1 - x0, y1 - y0, (frame[42] & 0x7F) + 1
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in NO_LENGTH:
            at += 2
            continue
        (length,) = struct.unpack(">H", frame[at + 2 : at + 4])
        if marker in FRAME_HEADERS and at + 9 <= len(frame):
            bits, height, width = struct.unpack(">BHH", frame[at + 4 : at + 9])
            return width, height, bits
        at += 2 + length
    return None
