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
from contextlib import closing
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from AutofocusCore.teaching.statistics import evenly
from Training.configuration.config import Config, load_config
from Training.configuration.shared_options import CONTINUED, add_data, add_overrides, add_threads, parse, run_script
from Training.loop.checkpoints import run_folder, start_from_weights
from Training.loop.data import load_data
from Training.loop.distributed import ProcessGroup, process_group
from Training.loop.optimisation import Optimisation, StepBatch
from Training.loop.run_files import RunFiles
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
    _begin(files, state, group, schedule.steps, start_from)

    task = build_task(config, state.network, data.train, schedule, arithmetic, group.count)
    optimisation = Optimisation(config, state, task, schedule, batch, group)
    run, began = config.run, time.monotonic()
    end = min(schedule.steps, stop_after or schedule.steps)
    with closing(task), closing(files):
        out_of_time = False
        while state.step < end and not out_of_time:
            if config.scans is not None and 0 < config.scans.fix_statistics_after <= state.step and not state.fixed:
                state.fix_statistics(evenly(data.train, config.scans.statistics), arithmetic)
            result = optimisation.step()
            out_of_time = minutes is not None and any(group.all_gather(time.monotonic() - began > 60 * minutes))
            watched = None
            if run.watch_every and data.watch and (state.step == schedule.steps or state.step % run.watch_every == 0):
                watched = watch(state.average, data, len(config.model.structures), group, arithmetic)
            if group.is_main:
                files.log(state, result, watched)
                if out_of_time or state.step == end or state.step % run.checkpoint_every == 0:
                    files.save(state)
    return files.checkpoint


def _begin(files: RunFiles, state: State, group: ProcessGroup, steps: int, start_from: Path | None) -> None:
    """Continue from the run's checkpoint, or begin: with the weights of another run, or with random ones."""
    continues = files.restore(state, group.device)
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
