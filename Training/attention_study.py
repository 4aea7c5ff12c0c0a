"""Does a network zoom out in large structures? `python Training/attention_study.py CONFIG --model MODEL -o OUT`.

The paper says that autofocus layers adapt the receptive field to the size of structures. For every layer, this computes
Spearman's correlation over the cases between the effective dilation inside each true structure and the structure's size
(the diameter of a sphere of the same volume): over all structures together, and within each structure, because
different structures differ in more than size. It also relates the dilation to the distance to the structure's border.
Intervals are percentile bootstraps over cases. `--untrained` does the same with random weights, for comparison. The
first table tells whether attention has settled: the standard deviation of the effective dilation within the patient, as
a share of the span of the rates, for each layer. Output: attention.csv, spreads.csv, correlations.csv, attention.md,
attention.png.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from matplotlib.figure import Figure

from AutofocusCore.errors import InputError
from AutofocusCore.io.atomic import Staging
from AutofocusCore.models import ModelSpec, find_model
from AutofocusCore.networks.build import build_network
from Training.configuration.config import load_config
from Training.configuration.shared_options import (
    add_data,
    add_device,
    add_overrides,
    add_precision,
    add_threads,
    parse,
    run_script,
)
from Training.evaluate import grid_spacing, labels_of, with_model
from Training.evaluation.comparing import interval
from Training.evaluation.effective_dilation import (
    MEAN_OF_LAYERS,
    DilationSpread,
    StructureDilation,
    dilation_spreads,
    dilations_in_structures,
    effective_dilations,
    rank_correlation,
)
from Training.evaluation.measures import mean_of
from Training.evaluation.plots import COLOURS
from Training.evaluation.tables import csv_text, markdown
from Training.loop.data import Source, load_data, names_of
from Training.loop.runs import load_run, refuse_trained_on

RESAMPLES = 2_000
TOGETHER = "all structures"
LEAST_SHARE = 0.15
"""Share of the rates' span that the SD of the effective dilation should reach in at least half of the layers."""


@dataclass(frozen=True)
class Correlation:
    """Results for one layer and structure, over cases.

    Attributes:
        layer: from 1, or `MEAN_OF_LAYERS`.
        structure: its name, or `TOGETHER`.
        cases: number of cases that have the structure.
        dilation_mm: mean and standard deviation over cases of the effective dilation inside it. If it hardly varies,
            the attention uses one rate only, and correlations are meaningless.
        with_size: Spearman's correlation of dilation and diameter, and its 95 % interval.
        with_border: mean over cases of the correlation with the distance to the border, and its interval.
    """

    layer: int
    structure: str
    cases: int
    dilation_mm: tuple[float, float]
    with_size: tuple[float, float, float]
    with_border: tuple[float, float, float]


def study(
    network: Any, spec: ModelSpec, cases: Sequence[Source], device: str = "auto", precision: str = "float32"
) -> tuple[list[StructureDilation], list[DilationSpread]]:
    """The effective dilation of every layer in every structure of the cases, and its spread within each case.

    Raises:
        InputError: the network has no autofocus layer, or no case has a structure.
    """
    labels, spacing, found, differing = labels_of(spec), grid_spacing(spec), [], []
    for number, source in enumerate(cases, start=1):
        case = source.case
        dilations = effective_dilations(network, case, spacing, device, precision, spec)
        found += dilations_in_structures(case, dilations, labels, spacing)
        differing += dilation_spreads(case, dilations, network.dilation_rates, spacing)
        print(f"{case.name} ({number} of {len(cases)})", flush=True)
    if not found:
        raise InputError(f"None of the {len(cases)} cases has a structure to look at", "give cases with labels")
    return found, differing


def correlations(found: Sequence[StructureDilation]) -> list[Correlation]:
    """The correlations of every layer, `MEAN_OF_LAYERS` last: within each structure, and over all together."""
    layers = sorted({one.layer for one in found}, key=lambda layer: (layer == MEAN_OF_LAYERS, layer))
    structures = list(dict.fromkeys(one.structure for one in found))
    wanted = [*structures, TOGETHER] if len(structures) > 1 else structures
    result = []
    for layer in layers:
        for structure in wanted:
            own = [one for one in found if one.layer == layer and structure in (one.structure, TOGETHER)]
            dilations = [one.dilation_mm for one in own]
            spread = float(np.mean(dilations)), float(np.std(dilations))
            cases = len({one.case for one in own})
            result.append(Correlation(layer, structure, cases, spread, _with_size(own), _with_border(own)))
    return result


def _with_size(found: Sequence[StructureDilation]) -> tuple[float, float, float]:
    names = list(dict.fromkeys(one.case for one in found))
    points = [np.array([(o.diameter_mm, o.dilation_mm) for o in found if o.case == name]) for name in names]

    def statistic(drawn: Any) -> float:
        chosen = np.concatenate([points[int(i)] for i in drawn])
        return rank_correlation(chosen[:, 0], chosen[:, 1])

    value = statistic(range(len(names)))
    if math.isnan(value) or len(names) < 3:
        return value, math.nan, math.nan
    return value, *interval(range(len(names)), statistic, resamples=RESAMPLES)


def _with_border(found: Sequence[StructureDilation]) -> tuple[float, float, float]:
    by_case: dict[str, list[float]] = {}
    for one in found:
        by_case.setdefault(one.case, []).append(one.border_correlation)
    means = [mean for mean in map(mean_of, by_case.values()) if not math.isnan(mean)]
    return mean_of(means), *interval(means)


def spread_text(differing: Sequence[DilationSpread]) -> str:
    """A table of how much each layer's effective dilation differs within the patient, and whether that is enough."""
    rows, free = [], 0
    layers = sorted({one.layer for one in differing})
    for layer in layers:
        own = [one for one in differing if one.layer == layer]
        shares, sd = np.array([one.share for one in own]), np.array([one.sd_mm for one in own])
        free += bool(shares.mean() >= LEAST_SHARE)
        rows.append([_layer(layer), str(len(own)), f"{sd.mean():.2f}", f"{shares.mean():.1%} ({shares.std():.1%})"])
    table = markdown(["layer", "cases", "SD within the patient, mm", "share of the rates' span (SD over cases)"], rows)
    said = "attention has not settled" if 2 * free >= len(layers) else "attention has settled in most of them"
    return f"{table}\n{free} of {len(layers)} layers reach {LEAST_SHARE:.0%}: {said}.\n"


def write_study(
    out: Path, found: Sequence[StructureDilation], differing: Sequence[DilationSpread], title: str, voxel_mm: float
) -> str:
    """Write attention.csv, spreads.csv, correlations.csv, attention.md and attention.png; returns the Markdown.

    Args:
        out: the folder, made if need be.
        found, differing: of `study`.
        title: what was studied.
        voxel_mm: width of the bins of distance.
    """
    results = correlations(found)
    columns = ["case", "structure", "layer", "diameter_mm", "dilation_mm", "border_correlation"]
    rows = [[_layer(o.layer) if c == "layer" else getattr(o, c) for c in columns] for o in found]
    header = ["layer", "structure", "cases", "dilation_mm", "dilation_mm_sd"]
    header += [f"{what}_{part}" for what in ("size", "border") for part in ("correlation", "low", "high")]
    cells = [[_layer(c.layer), c.structure, c.cases, *c.dilation_mm, *c.with_size, *c.with_border] for c in results]
    table = markdown(
        ["layer", "structure", "cases", "dilation in mm (SD)", "with size", "with distance to border"],
        [
            [
                _layer(c.layer),
                c.structure,
                str(c.cases),
                "{:.2f} ({:.2f})".format(*c.dilation_mm),
                _shown(c.with_size),
                _shown(c.with_border),
            ]
            for c in results
        ],
    )
    text = (
        f"# {title}\n\nThe effective dilation's standard deviation over the voxels of a patient, mean over cases.\n\n"
        f"{spread_text(differing)}\nThe effective dilation inside a structure, its Spearman correlation with the "
        "structure's size, over cases, and with the distance to its border, over the voxels inside, mean of the cases "
        f"(95 % bootstrap interval over cases, for each row by itself).\n\n{table}"
    )
    with Staging() as staging:
        folder = staging.folder(out)
        for name, content in (
            ("attention.csv", csv_text(columns, rows)),
            ("correlations.csv", csv_text(header, cells)),
            ("spreads.csv", csv_text(list(vars(differing[0])), [list(vars(one).values()) for one in differing])),
            ("attention.md", text),
        ):
            staging.aside(folder / name).write_text(content, encoding="utf-8", newline="")
        _plot(staging.aside(folder / "attention.png"), found, results, title, voxel_mm)
    return text


def _plot(
    path: Path, found: Sequence[StructureDilation], results: Sequence[Correlation], title: str, voxel_mm: float
) -> None:
    """Plot for each layer the dilation by size (a point per structure and case) and by distance to the border."""
    layers = list(dict.fromkeys(c.layer for c in results))
    structures = list(dict.fromkeys(one.structure for one in found))
    figure = Figure(figsize=(10, 3.0 * len(layers)), layout="constrained")
    panels = figure.subplots(len(layers), 2, squeeze=False)
    for (by_size, by_border), layer in zip(panels, layers, strict=True):
        for structure, colour in zip(structures, COLOURS * 9, strict=False):
            own = [one for one in found if one.layer == layer and one.structure == structure]
            x, y = [o.diameter_mm for o in own], [o.dilation_mm for o in own]
            by_size.scatter(x, y, s=12, color=colour, alpha=0.75, linewidths=0, label=structure)
            bins = sorted({b for o in own for b in o.profile})
            columns = [[o.profile[b] for o in own if b in o.profile] for b in bins]
            kept = [
                (b * voxel_mm, np.mean(c), np.std(c))
                for b, c in zip(bins, columns, strict=True)
                if 2 * len(c) >= len(own)
            ]
            at, mean, sd = (np.array(part) for part in zip(*kept, strict=True))
            by_border.plot(at, mean, color=colour)
            by_border.fill_between(at, mean - sd, mean + sd, color=colour, alpha=0.15, linewidth=0)
        by_size.set_ylabel(f"{_layer(layer)}\neffective dilation (mm)")
        by_border.axvline(0, color="black", linewidth=0.6)
    panels[-1][0].set_xlabel("diameter of a sphere as large (mm)")
    panels[-1][1].set_xlabel("distance to the border (mm), inside > 0; mean, SD of cases")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=150, format="png")


def _layer(layer: int) -> str:
    return "mean of layers" if layer == MEAN_OF_LAYERS else f"layer {layer}"


def _shown(values: tuple[float, float, float]) -> str:
    value, low, high = values
    if math.isnan(value):
        return "–"
    return f"{value:+.2f}" + ("" if math.isnan(low) else f" ({low:+.2f} to {high:+.2f})")


def run(options: argparse.Namespace) -> str:
    """Carry out the options; returns the tables as Markdown."""
    config = load_config(options.config, options.overrides)
    model = find_model(options.model) if options.model is not None else load_run(options.run, config)
    network = model.build()
    if options.untrained:
        torch.manual_seed(config.run.seed)
        network = build_network(**model.spec.architecture).eval()
    cases = load_data(with_model(config, model.spec), options.data).test
    if options.run is not None:
        refuse_trained_on(options.run, names_of(cases))
    found, differing = study(network, model.spec, cases, options.device, options.precision)
    title = f"Attention of {model.spec.name}{', untrained' if options.untrained else ''}, {len(cases)} cases"
    return write_study(options.out, found, differing, title, min(grid_spacing(model.spec)))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="attention_study.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a TOML file that names the cases")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", help="a model's name (`autofocus models list`), folder or zip")
    which.add_argument("--run", type=Path, help="a run's folder")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for table and figure; made if need be")
    add_data(parser)
    parser.add_argument("--untrained", action="store_true", help="with random weights, as a control")
    add_overrides(parser, "data.test=10")
    add_device(parser, "auto")
    add_precision(parser)
    add_threads(parser)
    options = parse(parser)
    return run_script(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
