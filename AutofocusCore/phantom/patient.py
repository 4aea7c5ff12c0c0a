"""The patient: the numbers in which phantoms differ from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patient:
    """Habitus and state of a patient. Lengths in mm, volumes in mL, radiodensity in Hounsfield units (HU)."""

    scale: float  # of the skeleton
    fat: float  # subcutaneous, at the sides
    belly: float  # subcutaneous, in front
    bulk: float  # of the muscles, 1 for the average
    muscle_hu: float
    fat_hu: float
    bone_hu: float  # spongy
    cortex_hu: float
    vessel_hu: float  # 45 without contrast agent
    head_radius: float  # of the femur
    neck_drop: float  # how much lower than its head the femur's neck ends
    leg_turn: tuple[float, float]  # y of the left and of the right greater trochanter
    spread: float  # of the shafts, at the lower end of the scan
    prostate_radii: tuple[float, float, float]
    prostate_height: float  # z of its centre
    bladder_volume: float
    bladder_hu: float
    bladder_layer: float  # share of the bladder's depth with settled contrast agent
    bladder_side: float  # x of its centre
    vesicle_length: float
    vesicle_radius: float
    vesicle_rise: tuple[float, float]  # how much higher the left and the right tip lie than the root
    rectum_radii: tuple[float, ...]  # from the anus up
    rectum_side: float
    rectum_content: str  # "gas", "stool", "collapsed" or "mixed"

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Patient:
        """A random patient."""

        def between(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        content = str(rng.choice(["gas", "stool", "collapsed", "mixed"], p=[0.2, 0.3, 0.3, 0.2]))
        width = {
            "gas": between(13, 25),
            "stool": between(15, 27),
            "collapsed": between(8, 11),
            "mixed": between(12, 23),
        }
        ampulla = width[content]
        gland = between(0.82, 1.3)
        obesity = float(rng.beta(1.8, 2.0))
        rise = between(4, 22)
        return cls(
            scale=between(0.93, 1.06),
            fat=8 + 34 * obesity,
            belly=9 + 42 * obesity * between(0.6, 1.1),
            bulk=between(0.88, 1.06),
            muscle_hu=between(42, 64),
            fat_hu=between(-112, -94),
            bone_hu=between(110, 250),
            cortex_hu=between(700, 1150),
            vessel_hu=45.0 if rng.random() < 0.6 else between(90, 200),
            head_radius=between(22.5, 26.5),
            neck_drop=between(12, 24),
            leg_turn=(between(2, 22), between(2, 22)),
            spread=between(-14, 8),
            prostate_radii=(between(22, 27) * gland, between(14, 19) * gland, between(15, 20) * gland),
            prostate_height=between(-16, -4),
            bladder_volume=40 + 460 * between(0, 1) ** 1.3,
            bladder_hu=between(-2, 16),
            bladder_layer=between(0.15, 0.4) if rng.random() < 0.12 else 0.0,
            bladder_side=between(-7, 7),
            vesicle_length=between(26, 42),
            vesicle_radius=between(5.0, 8.5),
            vesicle_rise=(rise + between(-5, 5), rise + between(-5, 5)),
            rectum_radii=(
                between(10, 13),
                between(10, 13) + 0.15 * ampulla,
                0.85 * ampulla,
                ampulla,
                ampulla * between(0.8, 1.15),
                ampulla * between(0.6, 0.95),
                between(9, 13),
            ),
            rectum_side=between(-9, 9),
            rectum_content=content,
        )
