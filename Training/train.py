"""Train the network of a configuration: `python Training/train.py Training/configs/hippocampus-mr.toml`.

A run lives in one folder (`--out`, else Runs/<configuration>): configuration, environment, a log of losses,
checkpoint.pt, which is replaced atomically at intervals, and best.pt if cases are set aside to watch. The same command
continues an interrupted run and ends with the same weights as an uninterrupted one: each step's segments and dropout
depend only on the seed and the step.

With several GPUs, or processes on several machines: `torchrun --nproc-per-node 2 Training/train.py ...`.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from torch import nn

from AutofocusCore.errors import SettingError
from AutofocusCore.networks.build import count_parameters
from Training.configuration.config import Config, as_toml, load_config
from Training.configuration.shared_options import CONTINUED, add_data, add_overrides, add_threads, parse, run_script
from Training.loop.baseline import network_of
from Training.loop.checkpoints import own_checkpoint, run_folder, same_experiment, save, start_from_weights
from Training.loop.data import Source, load_data, names_of
from Training.loop.distributed import ProcessGroup, process_group, synchronise_batch_norm
from Training.loop.initial import initialise_he
from Training.loop.optimizers import add_penalties, build_optimizer, set_rates
from Training.loop.recompute import recompute_hidden_layers
from Training.loop.record import Record, write_environment
from Training.loop.schedule import build_schedule, learning_rate, update_average
from Training.loop.statistics import evenly, fix_statistics, keep_statistics
from Training.loop.step import Arithmetic
from Training.loop.tasks import ScanTask, SegmentTask, Task
from Training.loop.watching import watch


@dataclass
class State:
    """State of a run that its checkpoint contains."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = -1.0
    fixed: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Fields of the checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer", "scaler")}
        return {"step": self.step, "best": self.best, "fixed": self.fixed, **parts}

    def take(self, saved: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        for name in ("network", "average", "optimizer", "scaler"):
            getattr(self, name).load_state_dict(saved[name])
        self.step, self.best, self.fixed = saved["step"], saved["best"], saved["fixed"]
        if self.fixed:
            keep_statistics(self.network)

    def fix_statistics(self, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
        """Fix BatchNorm's statistics, measured over the cases. What was best before was so with other statistics."""
        fix_statistics(self.network, self.average, cases, arithmetic)
        self.best, self.fixed = -1.0, True


def train(
    config: Config,
    out: Path,
    data_folder: Path | None = None,
    stop_after: int | None = None,
    start_from: Path | None = None,
    minutes: float | None = None,
) -> Path:
    """Run or continue an experiment. Returns the checkpoint.

    Args:
        out: the run's folder.
        data_folder: in place of the configuration's.
        stop_after: end after this many steps in all, as if interrupted there.
        start_from: the checkpoint of another run, whose averaged weights this one begins with.
        minutes: end with a checkpoint after the step in which this time has passed.

    Raises:
        InputError: something is wrong with the data, found before the first step.
        SettingError: the folder holds another experiment, or the loss is no longer a number.
        DeviceError: fewer GPUs than processes.
    """
    with process_group() as group:
        return _train(config, out, group, data_folder, stop_after, start_from, minutes)


def _train(
    config: Config,
    out: Path,
    group: ProcessGroup,
    folder: Path | None,
    stop_after: int | None,
    start_from: Path | None,
    minutes: float | None,
) -> Path:
    run, device = config.run, group.device
    arithmetic = Arithmetic(run.precision, device)
    torch.manual_seed(run.seed)
    network = network_of(config).to(device).train()
    if run.initial == "he":
        initialise_he(network)
    if config.segments is not None:
        network.to(memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network).eval()
    if run.batch_norm == "all":
        synchronise_batch_norm(network, device)
    if run.recompute:
        recompute_hidden_layers(network)
    state = State(network, average, build_optimizer(network, config.optimizer), arithmetic.scaler)
    data = load_data(config, folder)

    each = config.segments.per_step if config.segments is not None else 1
    at_once = each * group.count  # segments or scans that are computed at the same time
    batch = at_once * run.accumulate
    schedule = build_schedule(run, len(data.train), batch)
    checkpoint, text = out / "checkpoint.pt", as_toml(config)
    origin: dict[str, str] = {}
    saved = own_checkpoint(
        checkpoint, lambda recorded, step: same_experiment(recorded, config, step), data.checksum, batch, device
    )
    if saved is not None:
        state.take(saved)
    elif start_from is not None:
        origin = {"started_from_sha256": start_from_weights(start_from, network, average)}
    record = None
    if group.is_main:
        if saved is None:
            parts = {"train": names_of(data.train), "watch": names_of(data.watch), "test": names_of(data.test)}
            facts = {"data_sha256": data.checksum, **parts, "known": dict(data.known)}
            facts |= {"processes": group.count, "parameters": count_parameters(network), **origin}
            print(f"{facts['parameters']:,} trainable parameters", flush=True)
            write_environment(out, text, device, facts)
        else:
            print(f"going on after step {state.step}", flush=True)
        record = Record(out, state.step, schedule.steps, text)
    task: Task
    if config.segments is not None:
        task = SegmentTask(config, network, data.train, schedule, arithmetic)
    else:
        task = ScanTask(config, network, data.train, schedule, arithmetic, stride=group.count)
    model, began = group.wrap(task.outputs), time.monotonic()

    while state.step < min(schedule.steps, stop_after or schedule.steps):
        if config.scans is not None and 0 < config.scans.fix_statistics_after <= state.step and not state.fixed:
            state.fix_statistics(evenly(data.train, config.scans.statistics), arithmetic)
        torch.manual_seed(run.seed * 1_000_003 + state.step * group.count + group.rank)
        rate = learning_rate(config.optimizer, state.step, schedule.steps, schedule.epoch)
        set_rates(state.optimizer, rate)
        state.optimizer.zero_grad()
        total, names, facts = 0.0, [], {}
        for part in range(run.accumulate):
            first = state.step * batch + part * at_once + group.rank * each
            last = part == run.accumulate - 1
            with nullcontext() if last or group.count == 1 else model.no_sync():
                learned = task.learn(model, first, 1 / run.accumulate)
            names += [name for others in group.all_gather(learned.names) for name in others]
            if not torch.isfinite(learned.loss):
                raise SettingError(
                    f"The loss of step {state.step + 1} is {learned.loss.item()}, on {', '.join(names)}",
                    "check these cases, or lower optimizer.learning_rate; the previous checkpoint is kept",
                )
            total += learned.loss.item() / run.accumulate
            facts = learned.facts
        state.scaler.unscale_(state.optimizer)
        add_penalties(network, config.optimizer.l1, config.optimizer.l2)
        if config.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        update_average(average, network, run.average, state.step)
        state.step += 1

        out_of_time = minutes is not None and any(group.all_gather(time.monotonic() - began > 60 * minutes))
        done = state.step == schedule.steps
        watched = None
        if run.watch_every and data.watch and (done or state.step % run.watch_every == 0):
            watched = watch(average, data, len(config.model.structures), group, arithmetic)
        if record is not None:
            record.add(state.step, total, rate, names, watched, facts)
            kept = {"config": text, "data_sha256": data.checksum, "segments": batch}
            if watched is not None and np.nanmean(watched) > state.best:
                state.best = float(np.nanmean(watched))
                save(out / "best.pt", {**state.as_dict(), **kept, "score": state.best})
            if done or out_of_time or state.step % run.checkpoint_every == 0 or state.step == stop_after:
                save(checkpoint, {**state.as_dict(), **kept})
        if out_of_time:
            break
    task.close()
    if record is not None:
        record.close()
    return checkpoint


def run(options: argparse.Namespace) -> Path:
    """Carry out the options; returns the checkpoint."""
    config = load_config(options.config, options.overrides)
    out = options.out or run_folder(options.config)
    return train(config, out, options.data, start_from=options.start_from, minutes=options.minutes)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the network of a configuration, or continue its training.")
    parser.add_argument("config", type=Path, help="a TOML file, such as those in Training/configs")
    parser.add_argument("--out", type=Path, help="the run's folder (Runs/<configuration>); a run in it is continued")
    add_data(parser)
    parser.add_argument("--start-from", type=Path, help="checkpoint.pt of another run: begin with its averaged weights")
    parser.add_argument(
        "--minutes", type=float, help="stop after this many minutes, with a checkpoint to continue from"
    )
    add_overrides(parser, "run.seed=2")
    add_threads(parser)
    options = parse(parser)
    return run_script(lambda: run(options), CONTINUED)


if __name__ == "__main__":
    sys.exit(main())
