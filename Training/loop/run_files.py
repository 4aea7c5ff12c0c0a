"""Files in a run's folder: configuration, environment, log, checkpoint.pt and best.pt."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from AutofocusCore.io.holding import HELD, hold
from AutofocusCore.networks.build import build_network, count_parameters
from Training.configuration.config import Config, as_toml
from Training.loop.checkpoints import own_checkpoint, same_experiment, save
from Training.loop.data import DataSet, names_of
from Training.loop.optimisation import StepResult
from Training.loop.record import Record, write_environment
from Training.loop.state import State
from Training.loop.step import Arithmetic


def hold_run(folder: Path) -> AbstractContextManager[None]:
    """Hold a run's folder for one training: two that write into one would spoil its log and checkpoint.

    Raises:
        OutputError: another training holds it, or it cannot be written to.
    """
    return hold(folder / HELD, f"Another training is writing to {folder}", "wait for it to end, or give another --out")


class RunFiles:
    """Files of a run. Every process may read the checkpoint; only the main one calls `open` and `keep`.

    Args:
        folder: of the run.
        config: the experiment.
        data: its cases.
        batch: segments or scans of a step, in all processes.
    """

    def __init__(self, folder: Path, config: Config, data: DataSet, batch: int) -> None:
        self.checkpoint, self._best = folder / "checkpoint.pt", folder / "best.pt"
        self._folder, self._config, self._data, self._text = folder, config, data, as_toml(config)
        self._shared = {"config": self._text, "data_sha256": data.checksum, "segments": batch}
        self._record: Record | None = None

    def restore(self, state: State, arithmetic: Arithmetic) -> bool:
        """Give the state what the checkpoint holds; returns whether there is one.

        Raises:
            SettingError: it is damaged, or of another experiment, other data or another number of processes.
        """
        config = self._config
        saved = own_checkpoint(
            self.checkpoint,
            lambda recorded, step: same_experiment(recorded, config, step),
            self._data.checksum,
            self._shared["segments"],
            arithmetic.device,
        )
        if saved is not None:
            state.take(saved, config, arithmetic)
        return saved is not None

    def write_environment(self, network: torch.nn.Module, device: torch.device, more: dict[str, Any]) -> None:
        """Write the configuration and what is known of a run that begins, and print its number of parameters."""
        data, config, parameters = self._data, self._config, count_parameters(network)
        parts = {"train": names_of(data.train), "watch": names_of(data.watch), "test": names_of(data.test)}
        facts = {"data_sha256": data.checksum, **parts, "known": dict(data.known), "parameters": parameters, **more}
        told = f"{parameters:,} trainable parameters"
        if config.run.widen_after:
            facts["parameters_once_wide"] = wide = count_parameters(build_network(**config.model.architecture))
            told += f" up to step {config.run.widen_after}, then {wide:,}"
        print(told, flush=True)
        write_environment(self._folder, self._text, device, facts)

    def open_log(self, done: int, steps: int) -> None:
        """Open the log of a run of `steps` steps, of which so many are done."""
        self._record = Record(self._folder, done, steps, self._text)

    def log(self, state: State, result: StepResult, watched: list[float] | None) -> None:
        """Record a step. If the watched cases' mean Dice is the best so far, it is saved as best.pt."""
        assert self._record is not None
        self._record.add(state.step, result.loss, result.rate, result.names, watched, result.facts)
        if watched is not None and np.nanmean(watched) > state.best:
            state.best = float(np.nanmean(watched))
            save(self._best, {**state.as_dict(), **self._shared, "score": state.best})

    def save(self, state: State) -> None:
        """Replace checkpoint.pt by the state."""
        save(self.checkpoint, {**state.as_dict(), **self._shared})

    def close(self) -> None:
        """Write everything that is still buffered."""
        if self._record is not None:
            self._record.close()
