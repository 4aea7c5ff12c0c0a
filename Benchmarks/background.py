"""How much of exact mode's work sees nothing but background, and how much of it exact mode leaves out.

    .venv/bin/python -m Benchmarks.background ct_openkbp_hn/imagesVa/pt_222.nii.gz
    .venv/bin/python -m Benchmarks.background --time --networks basic afn-2 -- ct_openkbp_hn/imagesVa/pt_222.nii.gz

*Single voxels* is the share of the multiplications for voxels whose receptive field holds only background, and that no
rate of an autofocus layer connects with the zeros beyond the border of a map: the most that could be left out.
*Left out* is the share that exact mode does leave out, in rectangles. The volume is the box round the body, as the
pipeline computes it, padded by the network's margin. Scans hold HU + 1024. With --time, exact mode's processor time for
the scan, and for the same scan with a voxel in two corners of each plane that is not background.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from AutofocusCore.images import Grid, read_image
from AutofocusCore.images.body import body_mask, bounding_region
from AutofocusCore.inference import predict_volume
from AutofocusCore.inference.background import find_foreground
from AutofocusCore.inference.boxes import Box, voxels
from AutofocusCore.inference.graph import BoxGraph, build_fine_graph, build_graph
from AutofocusCore.inference.stages import INPUT
from AutofocusCore.networks.build import ARCHITECTURES, Network, build_network
from AutofocusCore.networks.deepmedic import DeepMedic

STORED_OFFSET = 1024
WINDOW = (-200.0, 400.0)  # HU, that of the head-and-neck model: all air has the lowest value
CLASSES = 8


def load_box(path: Path) -> NDArray[np.float32]:
    """The scan (D, H, W) in the box round the body, from 0 (air) to 1."""
    image = read_image(path).image
    hu = sitk.GetArrayFromImage(image).astype(np.float32) - STORED_OFFSET
    region = bounding_region(body_mask(hu, Grid.of(image)), (0, 0, 0))
    low, high = WINDOW
    return (np.clip(hu[tuple(slice(*ends) for ends in region)], low, high) - low) / (high - low)


def graph_of(network: Network) -> BoxGraph:
    """The stages of a network of Table 3; of DeepMedic those after its second pathway, 3 % of the work."""
    if isinstance(network, DeepMedic):
        return build_fine_graph(network, torch.empty(1, network.subsampled.out_channels, 1, 1, 1), (0, 0, 0))
    return build_graph(network)  # type: ignore[arg-type]


def shares(graph: BoxGraph, scan: NDArray[np.float32]) -> tuple[float, float]:
    """The shares of the multiplications that could be left out at the most, and that are."""
    foreground = find_foreground(graph, torch.from_numpy(scan)[None], torch.zeros(1), torch.float32, "cpu")
    seen = {INPUT: np.pad(scan > 0, graph.margin)}
    total = single = left_out = 0
    for index, stage in enumerate(graph.stages):
        box: Box = tuple((stage.margin, extent - stage.margin) for extent in seen[INPUT].shape)  # type: ignore[assignment]
        seen[index] = np.ones_like(seen[INPUT])
        inside = tuple(slice(*ends) for ends in box)
        seen[index][inside] = False
        for source, reach in zip(stage.sources, stage.reaches, strict=True):
            seen[index][inside] |= _widened(seen[source], reach)[inside]
        work = stage.operation.multiplications()
        total += work * voxels(box)
        single += work * int((~seen[index]).sum()) if stage.sources else 0
        left_out += work * (voxels(box) - sum(map(voxels, foreground.parts(index, box))))
    return single / total, left_out / total


def _widened(seen: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """All voxels no more than ``reach`` from one that is true, on each axis; beyond the volume all are."""
    for axis in range(3):
        padding = [(reach, reach) if other == axis else (0, 0) for other in range(3)]
        count = np.cumsum(np.pad(seen, padding, constant_values=False), axis=axis, dtype=np.int32)
        count = np.insert(count, 0, 0, axis=axis)
        first = [slice(None, -2 * reach - 1) if other == axis else slice(None) for other in range(3)]
        last = [slice(2 * reach + 1, None) if other == axis else slice(None) for other in range(3)]
        seen = count[tuple(last)] > count[tuple(first)]
    return seen


def seconds(network: Network, scan: NDArray[np.float32]) -> tuple[float, float]:
    """Processor time for the scan, and for the scan of which nothing can be left out; the better of two each."""
    whole = scan.copy()
    whole[:, 0, 0] = whole[:, -1, -1] = 1e-3
    found: list[list[float]] = [[], []]
    for turn in range(3):
        for volume, times in zip((scan, whole), found, strict=True):
            started = time.process_time()
            predict_volume(network, volume[None], device="cpu")
            if turn:  # the first one warms the libraries up
                times.append(time.process_time() - started)
    return min(found[0]), min(found[1])


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    root = Path(__file__).resolve().parents[1]
    default = os.environ.get("AUTOFOCUS_TEST_DATA", str(root.parent / "shared" / "data"))
    parser.add_argument("scans", nargs="+", help="CT files in the folder of the reference data")
    parser.add_argument("--data", default=default, help="folder of the reference data")
    parser.add_argument("--networks", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES)
    parser.add_argument("--time", action="store_true", help="measure, too")
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads that wait for one another count as processor time
    print("| scan | voxels | network | single voxels | left out |" + " CPU s | all computed |" * options.time)
    print("|---|---|---|--:|--:|" + "--:|--:|" * options.time)
    for path in options.scans:
        scan = load_box(Path(options.data) / path)
        for name in options.networks:
            network = build_network(name, in_channels=1, num_classes=CLASSES).eval()
            cells = [f"{share:.0%}" for share in shares(graph_of(network), scan)]
            cells += [f"{value:.1f}" for value in seconds(network, scan)] if options.time else []
            size = " x ".join(map(str, scan.shape))
            print(f"| {Path(path).name.split('.')[0]} | {size} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
