"""A finished run as a model: its averaged weights, and the cases that it was trained on."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AutofocusCore.errors import InputError
from AutofocusCore.models import ModelSpec
from Training.configuration.config import Config
from Training.loop.baseline import network_of

WEIGHTS = {"last": "checkpoint.pt", "best": "best.pt"}
"""The checkpoint after the last step, and the one that did best on the watched training cases."""


@dataclass(frozen=True)
class RunModel:
    """A run's model for AutofocusCore.segmentation and AutofocusCore.jobs.run, without a bundle being written.

    Args:
        spec: its description, the configuration's `[model]`.
        path: the run's folder.
        checksum: SHA-256 of the checkpoint.
        step: after which it was saved.
        network: with the averaged weights, in evaluation mode.
    """

    spec: ModelSpec
    path: Path
    checksum: str
    step: int
    network: Any

    def build(self) -> Any:
        """The network."""
        return self.network


def load_run(run: Path, config: Config, weights: str = "last") -> RunModel:
    """The model of a run.

    Args:
        run: its folder.
        config: that it was made from.
        weights: "last" or "best".

    Raises:
        InputError: there is no such checkpoint, or it is of another network.
    """
    checkpoint = run / WEIGHTS[weights]
    if not checkpoint.is_file():
        raise InputError(f"There is no checkpoint {checkpoint}", "train first, or name the run's folder with --run")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        step = int(state["step"])
        network = network_of(config, step)
        network.load_state_dict(state["average"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{checkpoint} does not hold the weights of {config.model.architecture['architecture']} "
            f"({type(error).__name__})",
            "give the configuration that the run was made from",
        ) from None
    return RunModel(
        config.model_at(step), run, hashlib.sha256(checkpoint.read_bytes()).hexdigest(), step, network.eval()
    )


def log_summary(run: Path, rows: int = 5) -> list[dict[str, Any]]:
    """A run's log in a few rows: its steps in equal parts, the mean loss of each, and the last Dice watched in it.

    Args:
        run: its folder.
        rows: largest number of rows.

    Raises:
        InputError: there is no log, or it is damaged.
    """
    path = run / "log.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
        entries = [json.loads(line, parse_constant=lambda _: None) for line in text.splitlines()]
        parts = [part for part in np.array_split(np.array(entries, dtype=object), rows) if len(part)]
        result = []
        for part in parts:
            row = {
                "steps": f"{part[0]['step']} to {part[-1]['step']}",
                "mean loss": round(sum(entry["loss"] for entry in part) / len(part), 4),
            }
            watched = [entry["watched_dice"] for entry in part if "watched_dice" in entry]
            result.append(row | ({"watched Dice": watched[-1]} if watched else {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({error!r})", "train again") from None
    return result


def hours_of_training(run: Path) -> float:
    """How long a run's steps took, in hours, all its starts together.

    Args:
        run: its folder. In log.jsonl a step's seconds count from the last start; where they fall, it was started again.

    Raises:
        InputError: there is no log, or it is damaged.
    """
    path = run / "log.jsonl"
    try:
        seconds = [float(json.loads(line)["seconds"]) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be used ({error!r})", "train again") from None
    ends = [now for now, later in pairwise([*seconds, 0.0]) if later < now]
    return sum(ends) / 3600


def cases_known(run: Path) -> dict[str, int]:
    """Number of a run's training cases in which each structure is known; empty if the run does not record it."""
    try:
        facts = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        return {str(name): int(count) for name, count in facts.get("known", {}).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def refuse_trained_on(run: Path, names: list[str]) -> None:
    """Refuse to measure cases that a run was trained on, or watched: the figures would be too good.

    Cases of the test part that were watched (`data.watch_from`) are reported on, as the configuration wants it.

    Raises:
        InputError: one of the names is among them, or the run's record cannot be read.
    """
    record = run / "environment.json"
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        seen = {*facts["train"], *facts["watch"]} - set(facts.get("test", ()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{record} does not say what was trained on ({error!r})", "train again") from None
    both = [name for name in names if name in seen]
    if both:
        raise InputError(
            f"{run} was trained on {len(both)} of the cases to report on, {both[0]} among them",
            "give the data and the fold that it was trained with",
        )
