"""The model card, docs/README.md of a bundle, generated from the description."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from AutofocusCore.io.texts import plain_text
from AutofocusCore.models.parts import MAIN_SHARE, NEAR_MM
from AutofocusCore.models.spec import ModelSpec

FENCE = "\0"  # where the training command goes
SYNTHETIC = (
    "> **Synthetic.** This model was trained and measured on made-up images, not on patients. It shows that the"
    " software works; what it makes of a real scan means nothing."
)


def model_card(spec: ModelSpec) -> str:
    """The card as Markdown: purpose, training data and accuracy of the model."""
    parts = [f"# {_text(spec.title)}" + (" (synthetic)" if spec.synthetic else "")]
    if spec.synthetic:
        parts.append(SYNTHETIC)
    parts += [spec.description, f"`{spec.name}`, version {spec.version}, licence {spec.licence}."]
    parts += ["## Intended use", spec.intended_use]
    parts += ["## Input", _table(("channel", "modality", "file names"), map(_channel_row, spec.channels)), _input(spec)]
    parts += ["## Output", _table(("label", "structure", "code"), map(_structure_row, spec.structures))]
    parts += [_connected(spec)] if spec.connected else []
    if spec.dice:
        measured = "synthetic cases" if spec.synthetic else "cases"
        rows = [(name, f"{value:.3f}") for name, value in spec.dice.items()]
        parts += [
            "## Accuracy",
            f"Mean Dice on {measured} that it was not trained on:",
            _table(("structure", "Dice"), rows),
        ]
    if spec.figures:
        parts += ["## Figures", *_figures(spec.figures)]
    parts += ["## Training", spec.training_data]
    command = spec.training_command.strip().replace("```", "'''")
    parts += [FENCE] * bool(command)
    options = ", ".join(f"{name}: {_value(value)}" for name, value in spec.architecture.items())
    parts.append(f"Architecture: {options}.")
    if spec.references:
        parts += ["## References", "\n".join(f"- {reference}" for reference in spec.references)]
    parts += ["## Authors", ", ".join(spec.authors) + "."]
    texts = (_inert(part.strip()) if part != FENCE else f"```\n{plain_text(command)}\n```" for part in parts)
    return "\n\n".join(texts) + "\n"


def _inert(text: str) -> str:
    """The text with Markdown escaped: HTML, pictures, links, control characters."""
    return plain_text(text).replace("<", "&lt;").replace("[", "\\[")


def _channel_row(channel: Any) -> tuple[str, ...]:
    return channel.name, channel.modality, ", ".join(f"`{p}`" for p in channel.patterns) or "any"


def _structure_row(structure: Any) -> tuple[str, ...]:
    codes = [c for c in (structure.type, structure.modifier, structure.region, structure.region_modifier) if c]
    return str(structure.label), structure.name, "; ".join(f"{c.scheme} {c.value} {c.meaning}" for c in codes)


def _connected(spec: ModelSpec) -> str:
    """A sentence about the structures whose stray parts are removed, and which parts these are."""
    names = [structure.name for structure in spec.structures if structure.connected]
    if not names:
        return ""
    what = "every structure" if len(names) == len(spec.structures) else ", ".join(names)
    rule = f"smaller than {100 * MAIN_SHARE:.0f} % of its largest part and more than {NEAR_MM:.0f} mm away from it"
    return f"Of {what}, parts are removed that are {rule}, as anatomy has one piece of it."


def _input(spec: ModelSpec) -> str:
    rule = spec.normalization
    grid = (
        "the image's own spacing"
        if spec.spacing is None
        else " × ".join(f"{s:g}" for s in spec.spacing) + " mm (x, y, z)"
    )
    if rule.method == "window":
        intensity = f"clipped to {_value(rule.window)} and mapped to 0 ... 1"
    else:
        within = {"all": "all voxels", "body": "the body", "nonzero": "voxels that are not zero"}[rule.mask]
        intensity = f"z-scored with mean and standard deviation over {within}"
        if rule.percentiles is not None:
            intensity += f", between percentiles {_value(rule.percentiles)}"
        if rule.sigmas is not None:
            intensity += f", within {_value(rule.sigmas)} standard deviations below and above"
    where = {"none": "", "body": " Only the body's voxels are computed.", "brain": " Only the brain's are computed."}
    return f"Resampled to {grid}, orientation {spec.orientation}; intensities {intensity}.{where[spec.roi]}"


def _figures(figures: Mapping[str, Any]) -> list[str]:
    """Lists of objects become tables, the rest a list of names and values."""
    tables: list[str] = []
    plain: list[str] = []
    for name, value in figures.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = list(dict.fromkeys(column for row in value for column in row))
            rows = [tuple(_value(row.get(column, "")) for column in columns) for row in value]
            tables += [f"### {_title(name)}", _table(tuple(_title(c) for c in columns), rows)]
        else:
            plain.append(f"- {_title(name)}: {_value(value)}")
    return ["\n".join(plain)] * bool(plain) + tables


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def _title(name: str) -> str:
    return str(name).replace("_", " ")


def _text(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(v) for v in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{_title(k)} {_value(v)}" for k, v in value.items())
    return str(value)
