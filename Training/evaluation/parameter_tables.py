"""Numbers of trainable parameters: the paper's Table 3, and the variants of the scale streams."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure

from AutofocusCore.cli.networks import TABLE_3
from AutofocusCore.io.atomic import Staging
from AutofocusCore.networks.build import build_network, count_parameters
from AutofocusCore.networks.scale_streams import VARIANTS, ScaleStreams
from AutofocusCore.networks.scale_streams.dimensions import finish
from Training.evaluation.tables import csv_text, markdown

STREAMS = {
    "VGG16, 21 classes": ({"encoder": "vgg16", "in_channels": 3, "num_classes": 21}, (321, 321)),
    "ResNet34, 150 classes": ({"encoder": "resnet34", "in_channels": 3, "num_classes": 150}, (473, 473)),
    "Basic in 3-D, 3 classes": ({"encoder": "basic", "in_channels": 1, "num_classes": 3}, (96, 96, 96)),
}
"""Encoders with their options, and an image size for which the shapes are printed."""


def stream_tables() -> tuple[list[list[str]], list[list[str]]]:
    """Trainable parameters of the scale streams, a row for each variant, and the system's shapes by encoder."""
    counts, shapes = [], []
    with torch.device("meta"):  # nothing is computed
        for variant, changes in VARIANTS.items():
            networks = [build_network("scale-streams", **{**options, **changes}) for options, _ in STREAMS.values()]
            counts.append([variant, *(f"{count_parameters(network):,}" for network in networks)])
        for name, (options, size) in STREAMS.items():
            network = build_network("scale-streams", **options)
            assert isinstance(network, ScaleStreams)
            image = torch.empty(1, network.in_channels, *size)
            maps = finish(network.eval().steps(image))
            found = (image, network.to_image(maps.fused, image), maps.fused, maps.location, maps.recalibration)
            shapes.append([name, *(" × ".join(map(str, t.shape[1:])) if t is not None else "–" for t in found)])
    return counts, shapes


def write_parameters(out: Path) -> str:
    """Count the parameters, write networks.csv, networks.md and plot.png; returns the Markdown.

    Raises:
        OutputError: the folder cannot be written to.
    """
    counts = {name: count_parameters(build_network(name, in_channels=4, num_classes=5)) for name in TABLE_3}
    rows = [[name, f"{counts[name]:,}", f"{TABLE_3[name]:,}"] for name in TABLE_3]
    verdict = "All are as in the paper." if counts == TABLE_3 else "**Not all are as in the paper.**"
    table = markdown(["network", "parameters", "Table 3 of the paper"], rows)
    counted, shapes = stream_tables()
    text = (
        f"# Trainable parameters, 4 input channels and 5 classes\n\n{table}\n{verdict}\n\n# Scale streams\n\n"
        + markdown(["trainable parameters", *STREAMS], counted)
        + "\nShapes of the whole system, without the batch; merged: where the streams' scores meet.\n\n"
        + markdown(["", "image", "logits", "merged", "location attention", "recalibration"], shapes)
    )
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    panel = figure.subplots()
    panel.bar(list(counts), [count / 1000 for count in counts.values()], color="#2a6f97")
    panel.set_ylabel("parameters (thousands)")
    with Staging() as staging:
        folder = staging.folder(out)
        cells = [[name, counts[name], TABLE_3[name]] for name in TABLE_3]
        staging.aside(folder / "networks.csv").write_text(
            csv_text(["network", "parameters", "paper"], cells), encoding="utf-8", newline=""
        )
        staging.aside(folder / "networks.md").write_text(text, encoding="utf-8", newline="")
        figure.savefig(staging.aside(folder / "plot.png"), dpi=150, format="png")
    return text
