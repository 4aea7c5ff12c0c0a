"""Train a network as a configuration says: `python Training/train.py Training/configs/hippocampus-mr.toml`.

A run lives in one folder (`--out`, else Runs/<configuration>): configuration, what it ran with, a log of losses, and
checkpoint.pt, replaced as a whole every so many steps. The same command goes on where a killed run stopped, and ends
with the weights of a run that was not: each step's segments and dropout follow from the seed and the step alone.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import platform
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn

import AutofocusCore
from AutofocusCore.errors import AutofocusError, SettingError
from Training.config import Config, Optimizer, as_toml, config_of, load_config
from Training.convolution import trusted_convolutions
from Training.data import DataSet, load_data, names_of
from Training.evaluate import dice_per_structure
from Training.losses import build_loss
from Training.sampling import draw_batch
from Training.toml_files import values_of


def build_optimizer(network: nn.Module, options: Optimizer) -> torch.optim.Optimizer:
    """Adam, RMSprop or SGD over all parameters."""
    shared: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if options.name == "adam":
        return torch.optim.Adam(network.parameters(), eps=options.epsilon, **shared)
    if options.name == "rmsprop":
        return torch.optim.RMSprop(
            network.parameters(), alpha=options.alpha, eps=options.epsilon, momentum=options.momentum, **shared
        )
    return torch.optim.SGD(network.parameters(), momentum=options.momentum, **shared)


def learning_rate(options: Optimizer, step: int, steps: int) -> float:
    """The learning rate of one step (0 to steps - 1)."""
    if step < options.warm_up:
        return options.learning_rate * (step + 1) / options.warm_up
    done = step / steps
    if options.schedule == "poly":
        factor = (1 - done) ** options.power
    elif options.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    else:
        factor = 0.1 ** sum(done >= drop for drop in options.drops)
    return options.learning_rate * factor


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the current ones; faster in the first steps, which should be forgotten."""
    decay = min(decay, (step + 1) / (step + 10))
    current = network.state_dict()
    with torch.no_grad():
        for name, value in average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside its place, then rename it: a run killed meanwhile keeps the one before."""
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def environment(config: Config, data: DataSet, device: torch.device) -> dict[str, Any]:
    """What a run depends on besides its configuration."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return {
        "git_commit": git.stdout.strip() or None,
        "data_sha256": data.checksum,
        "train": names_of(data.train),
        "watch": names_of(data.watch),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "SimpleITK": sitk.Version_VersionString(),
    }


def same_experiment(recorded: str, config: Config) -> bool:
    """Whether a recorded configuration, the text of :func:`as_toml`, is this one."""
    try:
        return config_of(values_of(recorded, "The run's configuration")) == config
    except AutofocusError:
        return False


def start_from_weights(path: Path, *networks: nn.Module) -> str:
    """Give the networks the averaged weights of another run's checkpoint, and return its SHA-256.

    Raises:
        SettingError: there is no checkpoint, or its network is another.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)["average"]
        for network in networks:
            network.load_state_dict(weights)
    except (OSError, KeyError, RuntimeError) as error:
        raise SettingError(
            f"{path} does not hold the weights of this network ({type(error).__name__})",
            "give the checkpoint.pt of a run with the same [model.architecture]",
        ) from error
    return hashlib.sha256(path.read_bytes()).hexdigest()


def train(
    config: Config,
    out: Path,
    data_folder: Path | None = None,
    stop_after: int | None = None,
    start_from: Path | None = None,
) -> Path:
    """Run an experiment, or go on with it. Returns the checkpoint.

    Args:
        out: the run's folder.
        data_folder: in place of the configuration's.
        stop_after: end after this many steps in all, as if interrupted there.
        start_from: the checkpoint of another run, whose averaged weights this one begins with.

    Raises:
        InputError: something is wrong with the data, found before the first step.
        SettingError: the folder holds another experiment, or the loss is no longer a number.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_data(config, data_folder)
    torch.manual_seed(config.run.seed)
    network = AutofocusCore.build_network(**config.model.architecture).to(device).train()
    network.to(memory_format=torch.channels_last_3d)
    average = copy.deepcopy(network).eval()
    optimizer = build_optimizer(network, config.optimizer)
    loss_of = build_loss(config.run.loss, config.run.background_weight)
    low = config.run.precision == "bfloat16" and (device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported())

    out.mkdir(parents=True, exist_ok=True)
    checkpoint, start = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if not same_experiment(state["config"], config) or state["data_sha256"] != data.checksum:
            raise SettingError(f"{out} holds a run of another configuration or other data", "give another --out")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        print(f"going on after step {start}", flush=True)
    else:
        facts = environment(config, data, device)
        if start_from is not None:
            facts["started_from_sha256"] = start_from_weights(start_from, network, average)
        (out / "config.toml").write_text(as_toml(config), encoding="utf-8")
        (out / "environment.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    began, shown, last = time.monotonic(), 0.0, min(config.run.steps, stop_after or config.run.steps)
    for step in range(start, last):
        torch.manual_seed(config.run.seed * 1_000_003 + step)
        seeds = [(config.run.seed, step, place) for place in range(config.segments.per_step)]
        images, labels, names = draw_batch(data.train, config.segments, config.augmentation, network.margin, seeds)
        images = images.to(device, memory_format=torch.channels_last_3d)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, step, config.run.steps)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=low), trusted_convolutions() if low else nullcontext():
            logits = network(images)
        loss = loss_of(logits.float(), labels.to(device))
        if not torch.isfinite(loss):
            raise SettingError(
                f"The loss of step {step + 1} is {loss.item()}, on segments of {', '.join(names)}",
                "look at these cases, or lower optimizer.learning_rate; the checkpoint before is kept",
            )
        loss.backward()
        optimizer.step()
        update_average(average, network, config.run.average, step)

        done = step + 1
        record: dict[str, Any] = {"step": done, "loss": round(loss.item(), 5), "cases": names}
        if config.run.watch_every and (done % config.run.watch_every == 0 or done == last) and data.watch:
            scores = [dice_per_structure(average, source.case) for source in data.watch]
            record["watched_dice"] = [round(float(d), 4) for d in np.nanmean(scores, axis=0)]
        with (out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        if done % config.run.checkpoint_every == 0 or done == last:
            save(checkpoint, {
                "step": done, "config": as_toml(config), "data_sha256": data.checksum, "network": network.state_dict(),
                "average": average.state_dict(), "optimizer": optimizer.state_dict(),
            })  # fmt: skip
        if time.monotonic() - shown > 10 or "watched_dice" in record:
            shown = time.monotonic()
            left = (shown - began) / (done - start) * (last - done)
            seen = f"  Dice {record['watched_dice']}" if "watched_dice" in record else ""
            print(f"step {done}/{config.run.steps}  loss {loss.item():.4f}  {left / 60:.0f} min left{seen}", flush=True)
    return checkpoint


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m Training.train", description="Train a network.")
    parser.add_argument("config", type=Path, help="a TOML file, such as those in Training/configs")
    parser.add_argument("--out", type=Path, help="the run's folder (Runs/<configuration>)")
    parser.add_argument("--data", type=Path, help="folder of the data set, in place of the configuration's")
    parser.add_argument("--start-from", type=Path, help="checkpoint.pt of another run: begin with its averaged weights")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.FIELD=VALUE", dest="overrides",
        help="put a value (TOML) in place of the configuration's, as in --set run.seed=2; may be repeated",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="processor threads (all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        config = load_config(options.config, options.overrides)
        out = options.out or Path("Runs") / options.config.stem
        print(train(config, out, options.data, start_from=options.start_from))
    except AutofocusError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
