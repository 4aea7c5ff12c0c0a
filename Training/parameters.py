"""The paper's Table 3: how many parameters each network trains, counted and as printed."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from AutofocusCore.cli.networks import TABLE_3
from AutofocusCore.networks import build_network, count_parameters
from AutofocusCore.staging import Staging
from Training.tables import csv_text, markdown


def write_parameters(out: Path) -> str:
    """Count the parameters (4 channels, 5 classes), write networks.csv, networks.md and plot.png; the Markdown.

    Raises:
        OutputError: the folder cannot be written to.
    """
    counts = {name: count_parameters(build_network(name, in_channels=4, num_classes=5)) for name in TABLE_3}
    rows = [[name, f"{counts[name]:,}", f"{TABLE_3[name]:,}"] for name in TABLE_3]
    verdict = "All are as in the paper." if counts == TABLE_3 else "**Not all are as in the paper.**"
    table = markdown(["network", "parameters", "Table 3 of the paper"], rows)
    text = f"# Trainable parameters, 4 input channels and 5 classes\n\n{table}\n{verdict}\n"
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
