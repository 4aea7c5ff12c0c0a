"""Settings of the augmentation, and the transforms of MONAI that they may name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from AutofocusCore.teaching.augmentation import Augmentation as ScanAugmentation
from Training.configuration.settings import require, require_known

SPATIAL = ("RandAffined", "RandRotated", "RandZoomd", "Rand3DElasticd", "RandGridDistortiond")
INTENSITY = (
    "RandGaussianNoised", "RandRicianNoised", "RandGaussianSmoothd", "RandGaussianSharpend", "RandAdjustContrastd",
    "RandScaleIntensityd", "RandShiftIntensityd", "RandStdShiftIntensityd", "RandHistogramShiftd", "RandBiasFieldd",
    "RandGibbsNoised", "RandCoarseDropoutd", "RandSimulateLowResolutiond",
)  # fmt: skip


@dataclass(frozen=True)
class Augmentation(ScanAugmentation):
    """Random changes of every segment or scan.

    Args:
        monai: MONAI's transforms, applied in this order after all others: tables with the `name` of one in SPATIAL or
            INTENSITY and its arguments but `keys`, such as {name = "RandBiasFieldd", prob = 0.3}.
    """

    monai: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for entry in self.monai:
            fits = isinstance(entry, dict) and "keys" not in entry and isinstance(entry.get("name"), str)
            require(fits, "augmentation.monai", entry, 'give a table such as {name = "RandGaussianNoised", prob = 0.3}')
            require_known(entry["name"], "augmentation.monai", SPATIAL + INTENSITY)
