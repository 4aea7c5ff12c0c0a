"""Train the network of a configuration: `python Training/train.py Training/configs/hippocampus-mr.toml`.

A run lives in one folder (`--out`, else Runs/<configuration>): configuration, environment, a log of losses,
checkpoint.pt, which is replaced atomically at intervals, and best.pt if cases are set aside to watch. The same command
continues an interrupted run and ends with the same weights as an uninterrupted one: each step's segments and dropout
depend only on the seed and the step.

With several GPUs, or processes on several machines: `torchrun --nproc-per-node 2 Training/train.py ...`.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from AutofocusCore.teaching.schedule import TrainingSchedule
from Training.configuration.config import Config, load_config
from Training.configuration.shared_options import CONTINUED, add_data, add_overrides, add_threads, parse, run_script
from Training.loop.checkpoints import run_folder, start_from_weights
from Training.loop.data import DataSet, load_data
from Training.loop.distributed import ProcessGroup, process_group
from Training.loop.optimisation import Optimisation, StepBatch, StepResult
from Training.loop.run_files import RunFiles, hold_run
from Training.loop.schedule import build_schedule
from Training.loop.state import State
from Training.loop.step import Arithmetic
from Training.loop.tasks import build_task
from Training.loop.watching import watch


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
        OutputError: another training writes into the folder, or nothing may be written there.
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
    arithmetic = Arithmetic(config.run.precision, group.device)
    state = State.new(config, arithmetic)
    data = load_data(config, folder)
    batch = StepBatch.of(config, group.count)
    schedule = build_schedule(config.run, len(data.train), batch.size)
    if config.scans is not None:
        config.scans.refuse_unreached(schedule.steps)
    files = RunFiles(out, config, data, batch.size)
    end = min(schedule.steps, stop_after or schedule.steps)
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    steps = Steps(config, state, data, schedule, batch, arithmetic, group, files, end, deadline)
    with hold_run(out) if group.is_main else nullcontext(), closing(files):
        _begin(files, state, group, arithmetic, schedule.steps, start_from)
        widens = config.run.widen_after
        if state.step < widens:
            steps.take(min(widens, end))
        if widens <= state.step < end and not steps.out_of_time:
            if widens and not state.wide:
                state.widen(config, data.train, arithmetic)
            steps.take(end)
    return files.checkpoint


@dataclass
class Steps:
    """The steps of a run, with what is recorded and saved after each.

    Args:
        config: the experiment.
        state: of the run, which the steps change.
        data: its cases.
        schedule, batch: its length, and the scans or segments of each step.
        arithmetic, group: device and processes that compute.
        files: of the run.
        end: the last step of this start, after which a checkpoint is saved.
        deadline: None, or the time (`time.monotonic`) after which the steps end with a checkpoint.
        out_of_time: whether it has passed.
    """

    config: Config
    state: State
    data: DataSet
    schedule: TrainingSchedule
    batch: StepBatch
    arithmetic: Arithmetic
    group: ProcessGroup
    files: RunFiles
    end: int
    deadline: float | None
    out_of_time: bool = False

    def take(self, until: int) -> None:
        """Take steps with the state's network until so many are done, or the time has passed."""
        config, state, group = self.config, self.state, self.group
        task = build_task(config, state.network, self.data.train, self.schedule, self.arithmetic, group.count)
        optimisation = Optimisation(config, state, task, self.schedule, self.batch, group)
        with closing(task):
            while state.step < until and not self.out_of_time:
                state.fix_statistics_if_due(config, self.data.train, self.arithmetic)
                self._record(optimisation.step())

    def _record(self, result: StepResult) -> None:
        """Log a step, with a look at the watched cases if it is time, and save a checkpoint if it is time."""
        config, state, files, group = self.config, self.state, self.files, self.group
        late = self.deadline is not None and time.monotonic() > self.deadline
        self.out_of_time = self.deadline is not None and any(group.all_gather(late))
        watched, every = None, config.run.watch_every
        if every and self.data.watch and (state.step == self.schedule.steps or state.step % every == 0):
            watched = watch(state.average, self.data, len(config.model.structures), group, self.arithmetic)
        if group.is_main:
            files.log(state, result, watched)
            if self.out_of_time or state.step == self.end or state.step % config.run.checkpoint_every == 0:
                files.save(state)


def _begin(
    files: RunFiles, state: State, group: ProcessGroup, arithmetic: Arithmetic, steps: int, start_from: Path | None
) -> None:
    """Continue from the run's checkpoint, or begin: with the weights of another run, or with random ones."""
    continues = files.restore(state, arithmetic)
    facts: dict[str, Any] = {"processes": group.count}
    if not continues and start_from is not None:
        facts["started_from_sha256"] = start_from_weights(start_from, state.network, state.average)
    if not group.is_main:
        return
    if continues:
        print(f"going on after step {state.step}", flush=True)
    else:
        files.write_environment(state.network, group.device, facts)
    files.open_log(state.step, steps)


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
