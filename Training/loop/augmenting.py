"""Random changes of segments: rotation, scaling and flips as one matrix; intensities; MONAI's transforms on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import monai.transforms
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from AutofocusCore.errors import SettingError
from AutofocusCore.teaching.smoothing import smooth
from AutofocusCore.teaching.warping import rotation
from Training.configuration.augmentation import SPATIAL, Augmentation


def random_map(augmentation: Augmentation, rng: np.random.Generator) -> tuple[NDArray[np.float64], bool]:
    """A 3×3 matrix (z, y, x) from offsets in the segment to offsets in the case: rotation, scaling, flips.

    Also returns whether it flips x, which exchanges left and right.
    """
    matrix = np.eye(3)
    angles = np.radians(rng.uniform(-1, 1, 3) * augmentation.rotation)
    scales = 1 + rng.uniform(-1, 1, 3) * augmentation.scaling
    changed = rng.random() < augmentation.probability
    flips = rng.random(3) < 0.5
    if changed:
        matrix = rotation(angles) @ np.diag(scales)
    flipped = [axis in augmentation.flip and bool(flips[axis]) for axis in range(3)]
    return matrix @ np.diag([-1.0 if one else 1.0 for one in flipped]), flipped[2]


def change_intensity(image: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """The image with random smoothing, contrast, brightness (of each channel) and noise."""
    if augmentation.blur and rng.random() < 0.5:
        image = smooth(image, augmentation.blur * rng.uniform(0.1, 1, 3))
    factors, offsets = rng.standard_normal((2, image.shape[0], 1, 1, 1)).astype(np.float32)
    image = image * torch.from_numpy(np.exp(augmentation.contrast * factors))
    image = image + augmentation.brightness * torch.from_numpy(offsets)
    if augmentation.noise:
        level = augmentation.noise * float(rng.random())
        image = image + level * torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return image


class MonaiTransforms:
    """MONAI's random transforms, one after the other, with a new seed for each segment.

    Args:
        entries: as in :class:`Training.configuration.augmentation.Augmentation`. Spatial transforms change image and
            labels, which are interpolated linearly and by nearest neighbour unless the entry says otherwise. Intensity
            transforms change only the image.

    Raises:
        SettingError: MONAI refuses an argument.
    """

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self.entries = tuple(entries)
        self.spatial = any(entry["name"] in SPATIAL for entry in entries)
        self.transforms = []
        for entry in entries:
            arguments = {name: value for name, value in entry.items() if name != "name"}
            keys = ["image"]
            if entry["name"] in SPATIAL:
                keys = ["image", "labels"]
                arguments = {"mode": ["bilinear", "nearest"], "padding_mode": "border", **arguments}
            try:
                self.transforms.append(getattr(monai.transforms, entry["name"])(keys=keys, **arguments))
            except Exception as error:  # each transform checks its arguments in its own way
                raise SettingError(
                    f"The configuration's augmentation.monai has {entry!r}, which MONAI refuses ({error})",
                    "give the arguments that MONAI's documentation lists",
                ) from error

    def __call__(self, image: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Image (C, D, H, W) and labels (D, H, W), changed; both of the same size where `spatial`."""
        sample = {"image": image, "labels": labels[None].float()}
        for entry, transform in zip(self.entries, self.transforms, strict=True):
            transform.set_random_state(seed=int(rng.integers(2**31)))
            try:
                sample = transform(sample)
            except Exception as error:
                raise SettingError(
                    f"The configuration's augmentation.monai {entry!r} failed on a segment ({error})",
                    "give the arguments that MONAI's documentation lists",
                ) from error
        return torch.as_tensor(sample["image"]).float(), torch.as_tensor(sample["labels"])[0].round().long()
