"""Effects of the scanner: the table under the patient, blur, noise and streaks."""

from __future__ import annotations

import numpy as np

from AutofocusCore.phantom.canvas import Canvas
from AutofocusCore.phantom.findings import METAL_HU
from AutofocusCore.phantom.shapes import Field, Point

VIEWS = 72  # directions from which a slice with metal is measured
HARDENING = 60.0  # HU per squared voxel of a ray's path through metal
METAL_NOISE = 24.0  # noise of a ray through 10 voxels of metal, relative to that of a voxel


def paint_table(canvas: Canvas, rng: np.random.Generator) -> None:
    """A flat or hollowed couch of foam in a carbon shell, along the whole scan, touching the patient's back."""
    body = np.flatnonzero((canvas.hu > -500).any(axis=(0, 2)))
    x, y = canvas.axes[0][None, :], canvas.axes[1][:, None]
    hollow = float(rng.choice([0.0, 1 / 900.0]))
    back = float(canvas.axes[1][body[-1]]) if body.size else 120.0
    top = np.float32(back + 3.0) - np.float32(hollow) * x * x
    shell = np.maximum(np.maximum(top - y, y - top - np.float32(42)), np.abs(x) - np.float32(215))
    air = np.clip((np.float32(-300) - canvas.hu) / np.float32(500), 0, 1)
    for inset, hu in ((0.0, -20.0), (3.2, -950.0)):
        filled = np.clip(np.float32(0.5) - (shell + np.float32(inset)) / canvas.edge, 0, 1)[None]
        canvas.hu += filled * air * (np.float32(hu) - canvas.hu)


def blurred(volume: Field, weights: Point) -> Field:
    """The volume averaged with its neighbours along z, y and x; a weight of 0.25 is the widest."""
    for axis, weight in enumerate(weights):
        if weight > 0:
            before, after = (np.roll(volume, step, axis) for step in (1, -1))
            edge: list[slice | int] = [slice(None)] * 3
            edge[axis] = 0
            before[tuple(edge)] = volume[tuple(edge)]
            edge[axis] = -1
            after[tuple(edge)] = volume[tuple(edge)]
            volume = volume * np.float32(1 - 2 * weight) + (before + after) * np.float32(weight)
    return volume


def metal_errors(metal: Field, rng: np.random.Generator, noise: float) -> Field:
    """What metal adds to a slice's reconstruction, in HU: dark bands between dense parts, and streaks from them.

    Rays through metal are measured wrongly: too little of the low energies arrives, so that the measured attenuation
    falls behind the path through metal (beam hardening), and few photons arrive at all (noise). The errors of all rays
    are filtered and projected back, as the scanner does with its measurements.

    Args:
        metal: share of metal in each voxel (y, x).
        rng: source of the noise.
        noise: standard deviation of the noise behind 10 voxels of metal.
    """
    rows, columns = metal.shape
    y, x = np.nonzero(metal)
    weight = metal[y, x].astype(np.float64)
    reach = int(np.hypot(rows, columns)) // 2 + 2
    far = np.arange(1, reach + 1)
    ramp = np.where(far % 2 == 1, -1.0 / (np.pi * far) ** 2, 0.0)
    ramp = np.concatenate([ramp[::-1], [0.25], ramp])
    ys, xs = (np.arange(n) - (n - 1) / 2 for n in (rows, columns))
    total = np.zeros((rows, columns))
    for angle in np.arange(VIEWS) * (np.pi / VIEWS):
        across = np.cos(angle) * xs[None, :] + np.sin(angle) * ys[:, None] + reach
        path = np.bincount(np.rint(across[y, x]).astype(int), weight, 2 * reach + 1)
        wrong = path * rng.standard_normal(path.size) * (0.1 * noise) - HARDENING * path**2
        total += np.interp(across, np.arange(path.size), np.convolve(wrong, ramp, "same"))
    return (total * (np.pi / VIEWS)).astype(np.float32)


def scanned(canvas: Canvas, rng: np.random.Generator, dose: float, spacing: Point, skin: Field) -> Field:
    """The scan of a drawn volume, in HU.

    Noise increases with the tissue that the rays cross and decreases with the square root of the dose. It is correlated
    within a slice, as after filtered back-projection, and streaks run from bone to bone.

    Args:
        dose: dose relative to a planning CT of good quality.
        skin: signed distance of every voxel to the skin (mm).
    """
    sharpness = float(rng.uniform(0.8, 1.6))  # standard deviation of the point spread in mm
    in_plane = [min(0.25, 0.5 * (sharpness / step) ** 2) for step in spacing[:2]]
    volume = blurred(canvas.hu, (0.0, in_plane[1], in_plane[0]))
    depth = np.clip(-skin, 0, 160) / np.float32(100)
    level = np.float32(11.0 / dose**0.5 * (27.0 / float(np.prod(spacing))) ** 0.25)
    white = rng.standard_normal(volume.shape, dtype=np.float32)
    noise = blurred(blurred(white, (0, 0.2, 0.2)), (0, 0.2, 0.2)) / np.float32(0.36)
    noise = 0.75 * noise + 0.5 * white
    volume = volume + noise * level * (np.float32(0.45) + np.float32(0.75) * depth)
    bone = np.clip(canvas.hu - 250, 0, 600).mean(axis=2, keepdims=True) / np.float32(60)  # along each row of each slice
    streaks = rng.standard_normal(volume.shape, dtype=np.float32)
    for _ in range(10):
        streaks = blurred(streaks, (0, 0, 0.25))
    volume += streaks * np.float32(2.2) * level * np.clip(bone - np.float32(0.4), 0, 2) * np.clip(depth, 0, 1)
    metal = np.clip(canvas.hu / np.float32(METAL_HU), 0, 1) * (canvas.hu > np.float32(METAL_HU / 2))
    for z in np.flatnonzero(metal.any(axis=(1, 2))):
        volume[z] += metal_errors(metal[z], rng, float(level) * METAL_NOISE)
    return volume
