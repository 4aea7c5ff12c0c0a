"""How much of exact mode's work sees nothing but background: what leaving it out could save at the most.

    .venv/bin/python -m Benchmarks.background ct_openkbp_hn/imagesVa/pt_222.nii.gz
    .venv/bin/python -m Benchmarks.background --whole ct_openkbp_hn/imagesVa/pt_222.nii.gz

A voxel of a layer's output is the same for every place of the air if its receptive field holds only background, and if
no rate of an autofocus layer reached the zeros beyond the border of a map. The share of the work of such voxels is
counted one by one, in blocks of 16 x 16 x 16 voxels, and in whole planes. The volume is the box round the body, as the
pipeline computes it, padded by the network's margin; or with --whole all of the scan. Scans hold HU + 1024.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.body import body_mask, bounding_region
from AutofocusCore.networks.afnet import BLOCK_CHANNELS, DILATION, DILATION_RATES, STEM_CHANNELS

STORED_OFFSET = 1024
LOWEST = -200.0  # HU that the window of the head-and-neck model clips to: all air has this value
BLOCK = 16


def layers_of(autofocus_layers: int) -> list[tuple[int, int, int]]:
    """For each hidden layer: its largest and smallest rate, and its multiplications for a voxel."""
    widths = [1, *STEM_CHANNELS, *(width for pair in BLOCK_CHANNELS for width in pair)]
    layers = []
    for index, (channels, outputs) in enumerate(itertools.pairwise(widths)):
        work = 27 * channels * outputs
        if index < len(STEM_CHANNELS):
            layers.append((1, 1, work))
        elif index < len(widths) - 1 - autofocus_layers:
            layers.append((DILATION, DILATION, work))
        else:
            work = work * len(DILATION_RATES) + 27 * channels * (channels // 2)
            layers.append((max(DILATION_RATES), min(DILATION_RATES), work))
    return layers


def widened(seen: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """All voxels no more than ``reach`` from one that is true, on each axis."""
    grown = torch.from_numpy(seen)[None, None].float()
    for axis in range(3):
        kernel, padding = ([value if axis == other else neutral for other in range(3)]
                           for value, neutral in ((2 * reach + 1, 1), (reach, 0)))  # fmt: skip
        grown = torch.nn.functional.pad(grown, [n for extent in reversed(padding) for n in (extent, extent)])
        grown = torch.nn.functional.max_pool3d(grown, kernel, stride=1)
    return np.asarray(grown[0, 0].numpy() > 0)


def shares(seen: NDArray[np.bool_], autofocus_layers: int) -> tuple[float, float, float]:
    """Shares of the work of single voxels, blocks and planes that see only background; ``seen`` is the rest."""
    layers = layers_of(autofocus_layers)
    border = sum(smallest for _, smallest, _ in layers)
    seen = np.pad(seen, border)
    total, found = 0, np.zeros(3)
    reach = lost = spoiled = 0
    for largest, smallest, work in layers:
        reach, lost, spoiled = reach + largest, lost + smallest, spoiled + largest - smallest
        inside = tuple(slice(lost, extent - lost) for extent in seen.shape)
        free = ~widened(seen, reach)[inside]
        clear = np.zeros_like(free)
        clear[tuple(slice(spoiled, max(extent - spoiled, spoiled)) for extent in free.shape)] = True
        free &= clear
        cut: Any = free[tuple(slice(extent // BLOCK * BLOCK) for extent in free.shape)]
        counts = [n for extent in cut.shape for n in (extent // BLOCK, BLOCK)]
        blocks = cut.reshape(counts).all((1, 3, 5)).sum() * BLOCK**3
        planes = free.all((1, 2)).sum() * free[0].size
        total += work * free.size
        found += work * np.array([free.sum(), blocks, planes])
    one, two, three = found / total
    return float(one), float(two), float(three)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    root = Path(__file__).resolve().parents[1]
    default = os.environ.get("AUTOFOCUS_TEST_DATA", str(root.parent / "shared" / "data"))
    parser.add_argument("scans", nargs="+", help="CT files in the folder of the reference data")
    parser.add_argument("--data", default=default, help="folder of the reference data")
    parser.add_argument("--whole", action="store_true", help="all of the scan, not the box round the body")
    options = parser.parse_args()
    print("| scan | voxels | network | single voxels | blocks | planes |\n|---|---|---|--:|--:|--:|")
    for scan in options.scans:
        image = read_image(Path(options.data) / scan).image
        hu = sitk.GetArrayFromImage(image).astype(np.float32) - STORED_OFFSET
        if not options.whole:
            region = bounding_region(body_mask(hu, Grid.of(image)), (0, 0, 0))
            hu = hu[tuple(slice(*ends) for ends in region)]
        size = " x ".join(map(str, hu.shape))
        for name, layers in (("basic", 0), ("afn-2", 2), ("afn-4", 4), ("afn-6", 6)):
            cells = " | ".join(f"{share:.0%}" for share in shares(hu > LOWEST, layers))
            print(f"| {Path(scan).name.split('.')[0]} | {size} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
