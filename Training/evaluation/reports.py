"""Writes the files of an evaluation, all or none: tables as CSV and Markdown, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from AutofocusCore.errors import SettingError
from AutofocusCore.io.atomic import Staging
from Training.evaluation.comparing import Comparison, compare_models
from Training.evaluation.measures import UNKNOWN, Measures
from Training.evaluation.plots import plot_models
from Training.evaluation.tables import (
    cases_csv,
    comparison_markdown,
    comparison_rows,
    csv_text,
    models_csv,
    models_markdown,
    read_cases,
    structures_of,
    summarise,
    summary_csv,
    summary_markdown,
    values_by_case,
)

DEFINITIONS = """\
Mean (SD between cases). Undefined values enter no mean and are counted instead: *missed*: the case has the structure, \
the model found none of it (Dice 0 enters the mean, distances are undefined); *false positive*: found where there is \
none (Dice undefined); *absent*: rightly not found (Dice undefined); *unknown*: not contoured there, and nothing is \
said of it. *Cases* counts those that know a structure. *Mean of structures*: of the rows above it, each counting the \
same; its SD is between the cases' own means. HD95: 95 % Hausdorff distance, ASD: average surface distance, both \
directions. *Shared slices*: those in which both contours have voxels; where a long structure begins and ends is a \
matter of convention. CI: percentile bootstrap over cases.
"""
TESTS = """\
Differences of Dice over the same cases, of *mean of structures* between the cases' own means; CI: percentile \
bootstrap over cases; p: Wilcoxon's signed-rank test, two-sided; Holm's correction is for all rows of the table. \
*Unpaired*: cases that only one of both could measure.
"""


def write_evaluation(out: Path, results: Sequence[Measures], title: str, grid: str) -> str:
    """Write cases.csv, summary.csv, summary.md and plot.png into a folder, made if need be; returns the Markdown.

    Args:
        out: the folder.
        results: of all cases.
        title: what was measured.
        grid: where it was measured, for the text.

    Raises:
        OutputError: the folder cannot be written to.
    """
    summaries = summarise(results)
    cases = len({one.case for one in results})
    text = f"# {title}\n\n{cases} cases, measured on {grid}.\n\n{summary_markdown(summaries)}\n{DEFINITIONS}"
    with Staging() as staging:
        folder = staging.folder(out)
        _write(staging, folder / "cases.csv", cases_csv(results))
        _write(staging, folder / "summary.csv", summary_csv(summaries))
        _write(staging, folder / "summary.md", text)
        plot_models(staging.aside(folder / "plot.png"), {title: results}, title, ("dice", "hd95_mm"))
    return text


def write_comparison(
    out: Path, files: Sequence[Path], names: Sequence[str] | None = None, all_pairs: bool = False
) -> str:
    """Compare evaluations by their cases.csv; write the files of `write_models`; returns the Markdown.

    Args:
        out: the folder.
        files: cases.csv of each model; the first is what the others are compared with.
        names: of the models; else those of the folders.
        all_pairs: whether each is compared with each.

    Raises:
        SettingError: names that are too few, too many or not different; fewer than two files.
        InputError: a file that cannot be read.
    """
    called = list(names) if names else [_name_of(path) for path in files]
    if len(set(called)) != len(files):
        raise SettingError(f"The models of {len(files)} files are called {', '.join(called)}", "give --names for each")
    return write_models(
        out, {name: read_cases(path) for name, path in zip(called, files, strict=True)}, "Comparison", all_pairs
    )


def write_models(
    out: Path, models: Mapping[str, Sequence[Measures]], title: str, all_pairs: bool = False, note: str = ""
) -> str:
    """The table of several models, and their comparison where there are two or more; returns the Markdown.

    Args:
        out: folder for comparison.md, comparison.csv (the tests), models.csv (the summaries) and plot.png.
        models: measures by the model's name.
        title, note: what stands above the table.
        all_pairs: whether each is compared with each, or with the first.
    """
    measured = {
        name: {s: values_by_case(results, s, "dice") for s in structures_of(results)}
        for name, results in models.items()
    }
    comparisons: list[Comparison] = compare_models(measured, all_pairs) if len(models) > 1 or not models else []
    counts = ", ".join(f"{name} {_counted(results)}" for name, results in models.items())
    parts = [f"# {title}", note, models_markdown(models), models_markdown(models, "hd95_mm"), f"Cases: {counts}."]
    parts += [comparison_markdown(comparisons) + "\n" + TESTS] if comparisons else []
    text = "\n\n".join(part.strip() for part in parts if part) + "\n\n" + DEFINITIONS
    with Staging() as staging:
        folder = staging.folder(out)
        _write(staging, folder / "comparison.csv", csv_text(*comparison_rows(comparisons)))
        _write(staging, folder / "models.csv", models_csv(models))
        _write(staging, folder / "comparison.md", text)
        plot_models(staging.aside(folder / "plot.png"), models, title, ("dice", "hd95_mm"))
    return text


def _counted(results: Sequence[Measures]) -> str:
    """`40 × 3 runs (missed 2)`: cases, runs, and how often a structure was missed, invented, absent or unknown."""
    runs = len({(one.run, one.case) for one in results}) / len({one.case for one in results})
    states = [one.state for one in results]
    odd = [
        f"{state} {states.count(state)}" for state in ("missed", "false positive", "absent", UNKNOWN) if state in states
    ]
    times = f" × {runs:g} runs" if runs != 1 else ""
    return f"{len({one.case for one in results})}{times}" + (f" ({', '.join(odd)})" if odd else "")


def _name_of(path: Path) -> str:
    folder = path.resolve().parent
    return folder.parent.name if folder.name == "evaluation" else folder.name


def _write(staging: Staging, path: Path, text: str) -> None:
    staging.aside(path).write_text(text, encoding="utf-8", newline="")
