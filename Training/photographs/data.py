"""Photographs with labels: PASCAL VOC 2012 and ADE20K in their published form.

voc2012: the folder VOCdevkit/VOC2012, with the augmented labels beside it

    JPEGImages/NAME.jpg
    SegmentationClassAug/NAME.png                    0 background, 1 to 20, 255 unlabelled
    ImageSets/Segmentation/trainaug.txt, val.txt     one NAME a line, or "/JPEGImages/NAME.jpg /Seg.../NAME.png"

ade20k: the folder that holds ADEChallengeData2016 and the lists of the scene parsing benchmark

    training.odgt, validation.odgt     a JSON object a line: "fpath_img", "fpath_segm", relative to the folder
    labels                             0 unlabelled, 1 to 150; here 255 and 0 to 149

The full sets hold 10,582 and 1,449 (VOC), 20,210 and 2,000 (ADE20K) photographs for training and validation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from AutofocusCore.errors import InputError
from Training.photographs.settings import LAYOUTS, Crops, Photographs

UNLABELLED = 255
# ImageNet's mean and spread of red, green and blue, which the encoders' published weights expect.
MEAN, SPREAD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
LISTS = {
    "voc2012": ("ImageSets/Segmentation/trainaug.txt", "ImageSets/Segmentation/val.txt"),
    "ade20k": ("training.odgt", "validation.odgt"),
}
SHOWN_PROBLEMS = 8


@dataclass(frozen=True)
class Photograph:
    """One photograph and its labels, on disk."""

    name: str
    image: Path
    labels: Path
    layout: str

    def read(self) -> tuple[Image.Image, Image.Image]:
        """The photograph (RGB) and its labels (classes from 0, 255 unlabelled), of the same size.

        Raises:
            InputError: a file cannot be read, sizes differ, or a label is out of range.
        """
        try:
            with Image.open(self.image) as opened:
                image = opened.convert("RGB")
            with Image.open(self.labels) as opened:
                if opened.mode not in ("L", "P"):
                    raise InputError(f"{self.labels} has the mode {opened.mode}", "give labels of one byte a pixel")
                values = np.array(opened)  # palette images: the indices
        except (OSError, UnidentifiedImageError) as error:
            raise InputError(f"{self.name} cannot be read ({error})", "fetch the file again") from None
        if image.size != values.shape[::-1]:
            raise InputError(f"{self.name} is {image.size}, its labels {values.shape[::-1]}", "remove it from the list")
        if self.layout == "ade20k":
            values = np.where(values == 0, UNLABELLED, values - 1).astype(np.uint8)
        wrong = sorted(set(np.unique(values).tolist()) - {*range(LAYOUTS[self.layout]), UNLABELLED})
        if wrong:
            raise InputError(f"{self.labels} holds the labels {wrong[:5]}", f"use those of {self.layout}")
        return image, Image.fromarray(values)


def photographs(data: Photographs, part: str, folder: Path | None = None) -> list[Photograph]:
    """The photographs of one part, "train" or "validation", in the order of the list; all files exist.

    Args:
        folder: folder of the data, instead of the configuration's.

    Raises:
        InputError: the list cannot be used, or files are missing; the message names all of them.
    """
    folder = folder or Path(data.folder)
    own = dict(zip(("train", "validation"), LISTS[data.layout], strict=True))[part]
    listed = folder / (getattr(data, part) or own)
    try:
        lines = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The list {listed} cannot be read ({error})", "give the data set's folder with --data"
        ) from None
    try:
        found = [(_voc if data.layout == "voc2012" else _ade)(folder, line) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"The list {listed} has a line that is not understood ({error!r})", "correct it") from None
    missing = [str(path) for one in found for path in (one.image, one.labels) if not path.is_file()]
    if missing or not found:
        shown = ", ".join(missing[:SHOWN_PROBLEMS]) or "it is empty"
        raise InputError(f"{len(missing)} files of {listed} are missing: {shown}", "complete the folder, or the list")
    return found


def _voc(folder: Path, line: str) -> Photograph:
    words = line.split()
    if len(words) == 1:
        image, labels = f"JPEGImages/{words[0]}.jpg", f"SegmentationClassAug/{words[0]}.png"
    else:
        image, labels = (word.lstrip("/") for word in words)
    return Photograph(Path(image).stem, folder / image, folder / labels, "voc2012")


def _ade(folder: Path, line: str) -> Photograph:
    entry = json.loads(line)
    return Photograph(
        Path(entry["fpath_img"]).stem, folder / entry["fpath_img"], folder / entry["fpath_segm"], "ade20k"
    )


def checksum(items: Iterable[Photograph]) -> str:
    """SHA-256 over the names and sizes of all files; their content would take long to read."""
    digest = hashlib.sha256()
    for one in items:
        digest.update(f"{one.name} {one.image.stat().st_size} {one.labels.stat().st_size}\n".encode())
    return digest.hexdigest()


def normalised(image: Image.Image) -> Tensor:
    """A photograph as input of the network, (3, H, W) float32."""
    values = (np.asarray(image, dtype=np.float32) / 255 - MEAN) / SPREAD
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def draw_crop(one: Photograph, crops: Crops, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random crop (3, H, W) and its labels (H, W) int64, scaled and mirrored at random."""
    image, labels = one.read()
    factor = rng.uniform(*crops.scaling)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    values = normalised(image.resize(size, Image.Resampling.BILINEAR))
    truth: NDArray[np.uint8] = np.asarray(labels.resize(size, Image.Resampling.NEAREST))
    height, width = crops.size
    found = torch.zeros(3, height, width)  # the mean colour
    known = torch.full((height, width), UNLABELLED, dtype=torch.int64)
    (top, low, rows), (left, right, columns) = (
        _place(have, want, rng) for have, want in zip(truth.shape, crops.size, strict=True)
    )
    found[:, low : low + rows, right : right + columns] = values[:, top : top + rows, left : left + columns]
    part = truth[top : top + rows, left : left + columns]
    known[low : low + rows, right : right + columns] = torch.from_numpy(part.astype(np.int64))
    if crops.flip and rng.random() < 0.5:
        found, known = found.flip(-1), known.flip(-1)
    return found, known


def _place(have: int, want: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """The start of a crop in the photograph, the matching place in the crop, and the number of shared pixels."""
    start = int(rng.integers(0, have - want + 1)) if have > want else 0
    offset = int(rng.integers(0, want - have + 1)) if want > have else 0
    return start, offset, min(have, want)


def draw_crops(items: Sequence[Photograph], crops: Crops, seed: int, step: int) -> tuple[Tensor, Tensor, list[str]]:
    """The batch of a step: (B, 3, H, W), (B, H, W) and the names. It depends only on seed and step.

    Every photograph is used once before any is used again, each time in a new random order.
    """
    images, labels, names = [], [], []
    for place in range(step * crops.per_step, (step + 1) * crops.per_step):
        turn, index = divmod(place, len(items))
        one = items[int(np.random.default_rng([seed, 0, turn]).permutation(len(items))[index])]
        image, truth = draw_crop(one, crops, np.random.default_rng([seed, 1, place]))
        images.append(image)
        labels.append(truth)
        names.append(one.name)
    return torch.stack(images), torch.stack(labels), names
