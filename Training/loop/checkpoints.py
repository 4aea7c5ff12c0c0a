"""Checkpoints: written atomically, read safely, and only by the experiment that wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from AutofocusCore.errors import AutofocusError, OutputError, SettingError
from AutofocusCore.models import ModelSpec
from Training.configuration.config import Config, config_of
from Training.configuration.toml_files import values_of
from Training.loop.schedule import learning_rate

State = dict[str, Any]
CARD = (
    "name", "title", "description", "version", "licence", "training_data", "training_command", "intended_use",
    "authors", "references", "changelog", "roi",
)  # fmt: skip
"""Fields of a model that training does not read. In training the ROI is the mask of the normalisation."""


def run_folder(configuration: Path) -> Path:
    """Default folder of a run of a configuration: Runs/hippocampus/afn-1 for hippocampus/afn-1.toml.

    For a configuration outside Training/configs it is Runs/<name of the file>.
    """
    ours, place = Path(__file__).resolve().parents[1] / "configs", configuration.resolve()
    within = place.relative_to(ours) if place.is_relative_to(ours) else Path(place.name)
    return Path("Runs") / within.with_suffix("")


def save(path: Path, state: State) -> None:
    """Write a checkpoint under a temporary name, then rename it: a killed run keeps the previous one.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        torch.save(state, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} could not be written ({error})", "make room, then start the run again") from error


def load(path: Path, device: torch.device | str = "cpu") -> State:
    """The content of a checkpoint: tensors, numbers and text, never code.

    Raises:
        SettingError: it is missing or damaged.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        assert isinstance(state, dict) and {"step", "network", "average"} <= set(state)  # noqa: PT018
    except Exception as error:  # torch raises errors of many types for damaged files
        raise SettingError(
            f"{path} is not a checkpoint of a run ({type(error).__name__})",
            "name another, or remove it to begin again",
        ) from error
    return {"scaler": {}, "best": -1.0, "fixed": False, **state}  # missing in checkpoints of earlier versions


def same_experiment(recorded: str, config: Config, step: int = 0) -> bool:
    """Whether a recorded configuration is this one, except for settings that may change between starts of a run.

    These are the intervals of watching and saving, the text of the model's card, the part of a scan in a step, the
    width to come, and the run's length, if the learning rates so far stay the same.

    Args:
        recorded: the text of :func:`Training.configuration.config.as_toml`.
        config: of the run that continues.
        step: its last step.
    """
    try:
        other = config_of(values_of(recorded, "The run's configuration"))
    except AutofocusError:
        return False
    other = replace(other, model=_with_card_of(config.model, other.model))
    if other == config:
        return True
    if not (other.run.steps and config.run.steps):
        return False
    rates = [[learning_rate(c.optimizer, i, c.run.steps) for i in range(step)] for c in (other, config)]
    free = {name: getattr(config.run, name) for name in ("steps", "watch_every", "checkpoint_every")}
    if step <= config.run.widen_after and other.model_at(step).architecture == config.model_at(step).architecture:
        other = replace(other, model=config.model)  # the wider network is still to come
        free["widen_after"] = config.run.widen_after
    alike = replace(
        other,
        run=replace(other.run, **free),
        optimizer=replace(other.optimizer, cycles=config.optimizer.cycles, cycle_rates=config.optimizer.cycle_rates),
        scans=config.scans if other.scans is not None else None,
    )
    return rates[0] == rates[1] and alike == config


def _with_card_of(card: ModelSpec, model: ModelSpec) -> ModelSpec:
    """A model with those fields of another that do not influence the weights: texts, colours, islands."""
    kept = {name: getattr(card, name) for name in CARD}
    names = [one.structures for one in (card, model)]
    alike = [s.name for s in names[0]] == [s.name for s in names[1]]
    return replace(model, **kept, **({"structures": card.structures} if alike else {}))


def own_checkpoint(
    path: Path, same: Callable[[str, int], bool], data_sha256: str, segments: int, device: torch.device
) -> State | None:
    """The checkpoint from which a run continues; None if there is none yet.

    Args:
        same: whether a recorded configuration, as TOML, is that of a run that has come to a step.
        segments: of a step, those of all processes together.

    Raises:
        SettingError: it is damaged, or of another configuration, other data or another number of processes.
    """
    if not path.exists():
        return None
    state = load(path, device)
    if not same(state.get("config", ""), state["step"]) or state.get("data_sha256") != data_sha256:
        raise SettingError(f"{path.parent} holds a run of another configuration or other data", "give another --out")
    if state.get("segments", segments) != segments:
        raise SettingError(
            f"The run in {path.parent} has {state['segments']} segments in a step, not {segments}",
            "start as many processes as before",
        )
    return state


def start_from_weights(path: Path, *networks: nn.Module) -> str:
    """Give the networks the averaged weights of another run's checkpoint, and return its SHA-256.

    Raises:
        SettingError: there is no checkpoint, or its network is another.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["average"]
        for network in networks:
            network.load_state_dict(weights)
    except Exception as error:  # torch raises many kinds of errors
        raise SettingError(
            f"{path} does not hold the weights of this network ({type(error).__name__})",
            "give the checkpoint.pt of a run with the same [model.architecture]",
        ) from error
    return hashlib.sha256(path.read_bytes()).hexdigest()
