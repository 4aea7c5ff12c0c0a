"""Measure a run on photographs: `python Training/streams_evaluate.py CONFIGURATION --five-scales`.

Every photograph of the validation list is predicted as a whole. With several scales, it is predicted once at each, and
the class probabilities are averaged at the photograph's own size. Written to the run's folder: a table of the classes
(.csv and .md) and metrics (.json), named after the scales.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from AutofocusCore.errors import SettingError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.networks.scale_streams import ScaleStreams
from AutofocusCore.networks.scale_streams.dimensions import resize
from Training.configuration.shared_options import add_data, add_overrides, run_script
from Training.evaluation.tables import csv_text, markdown
from Training.loop.checkpoints import load, run_folder
from Training.photographs.data import checksum, normalised, photographs
from Training.photographs.measures import Counts, Figures
from Training.photographs.settings import LAYOUTS, StreamsConfig, load_streams_config

FIVE_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@torch.inference_mode()
def classes_of(network: ScaleStreams, image: Image.Image, scales: Sequence[float], flip: bool) -> NDArray[np.int64]:
    """The class of every pixel of a photograph, (H, W), from the mean of the probabilities at all scales."""
    device = next(network.parameters()).device
    total = torch.zeros(1, network.num_classes, image.height, image.width, device=device)
    for scale in scales:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        x = normalised(image.resize(size, Image.Resampling.BILINEAR))[None].to(device)
        for mirrored in (False, True) if flip else (False,):
            found = network(x.flip(-1)).flip(-1) if mirrored else network(x)
            total += resize(found.softmax(dim=1), total.shape[2:])
    return total[0].argmax(dim=0).cpu().numpy()


def measure(
    network: ScaleStreams,
    config: StreamsConfig,
    folder: Path | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Figures:
    """Measure the photographs of the validation list.

    Args:
        network: the network, in evaluation mode.
        config: the experiment with the data.
        folder: folder of the data set, instead of the configuration's.
        scales, flip: see :func:`classes_of`.

    Raises:
        InputError: files are missing or cannot be used.
        SettingError: a scale is not above 0.
    """
    if not scales or min(scales) <= 0:
        raise SettingError(f"The scales are {list(scales)}", "give numbers above 0")
    counts = Counts(LAYOUTS[config.data.layout])
    for one in photographs(config.data, "validation", folder):
        image, labels = one.read()
        counts.add(np.asarray(labels), classes_of(network, image, scales, flip))
    return counts.figures()


def class_names(layout: str) -> list[str]:
    """Names of the classes of a layout; for ADE20K the numbers of its objectInfo150."""
    return list(VOC_CLASSES) if layout == "voc2012" else [str(number) for number in range(1, LAYOUTS[layout] + 1)]


def metrics_name(scales: Sequence[float], flip: bool = False) -> str:
    """The file name of a measurement, without its ending."""
    return "validation-" + "-".join(f"{scale:g}" for scale in scales) + ("-flipped" if flip else "")


def write_figures(folder: Path, name: str, figures: Figures, facts: dict[str, object], names: Sequence[str]) -> None:
    """Write NAME.json, NAME.csv and NAME.md into a folder."""
    rows = [*zip(names, figures.iou, strict=True)]
    rows += [("mean IoU", figures.mean_iou), ("pixel accuracy", figures.pixel_accuracy)]
    header = ("class", "IoU")
    numbers = {
        "mean_iou": figures.mean_iou,
        "pixel_accuracy": figures.pixel_accuracy,
        "classes_absent": figures.absent,
        "iou": {one: None if math.isnan(iou) else iou for one, iou in zip(names, figures.iou, strict=True)},
    }
    texts = {
        "json": json.dumps({**facts, **numbers}, indent=1) + "\n",
        "csv": csv_text(header, rows),
        "md": markdown(header, [(one, "absent" if math.isnan(iou) else f"{iou:.4f}") for one, iou in rows]),
    }
    with Staging() as staging:
        for ending, text in texts.items():
            staging.aside(folder / f"{name}.{ending}").write_text(text, encoding="utf-8", newline="")


def evaluate(
    config: StreamsConfig, run: Path, folder: Path | None, scales: Sequence[float], flip: bool = False
) -> Figures:
    """Measure the network of a run and write its figures into the run's folder."""
    state = load(run / "checkpoint.pt")
    network = ScaleStreams(**config.architecture)
    try:
        network.load_state_dict(state["network"])
    except RuntimeError:
        raise SettingError(f"{run} holds another network", "give the configuration that it was trained with") from None
    network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    figures = measure(network, config, folder, scales, flip)
    items = photographs(config.data, "validation", folder)
    facts: dict[str, object] = {"steps": state["step"], "scales": list(scales), "flip": flip}
    facts |= {"photographs": len(items), "data_sha256": checksum(items)}
    write_figures(run, metrics_name(scales, flip), figures, facts, class_names(config.data.layout))
    return figures


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the lines to print."""
    config = load_streams_config(options.config, options.overrides)
    scales = FIVE_SCALES if options.five_scales else tuple(options.scales)
    figures = evaluate(config, options.run or run_folder(options.config), options.data, scales, options.flip)
    line = f"mean IoU {figures.mean_iou:.4f}  pixel accuracy {figures.pixel_accuracy:.4f}"
    if not figures.absent:
        return line
    return f"{line}\n{figures.absent} classes are neither in the labels nor in the predictions, and not in the mean"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Mean intersection over union and pixel accuracy of a run, over all photographs of a list."
    )
    parser.add_argument("config", type=Path, help="the configuration that the run was made from")
    parser.add_argument("--run", type=Path, help="the run's folder (Runs/<configuration>)")
    add_data(parser)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="sizes at which each one is seen (1)")
    parser.add_argument("--five-scales", action="store_true", help="the same as --scales 0.5 0.75 1 1.25 1.5")
    parser.add_argument("--flip", action="store_true", help="average with the mirror image's prediction too")
    add_overrides(parser, "data.folder=VOC2012")
    options = parser.parse_args(arguments)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
