"""Train scale streams on photographs: `python Training/streams_train.py Training/streams_configs/voc2012/vgg16.toml`.

A run lives in one folder (`--out`, else Runs/<configuration>): config.toml, environment.json with versions and data,
log.jsonl, and checkpoint.pt, which is replaced atomically at intervals. The same command continues an interrupted run
and ends with the same weights as an uninterrupted one: each step's crops and dropout depend only on the seed and the
step.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started by its path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from AutofocusCore.errors import SettingError
from AutofocusCore.networks.scale_streams import ScaleStreams
from AutofocusCore.teaching.rates import set_rates
from Training.configuration.shared_options import CONTINUED, add_data, add_overrides, run_script
from Training.loop.checkpoints import own_checkpoint, run_folder, save
from Training.loop.record import Record, write_environment
from Training.loop.run_files import hold_run
from Training.photographs.data import UNLABELLED, checksum, draw_crops, photographs
from Training.photographs.settings import Descent, StreamsConfig, load_streams_config, streams_toml


def build_descent(network: ScaleStreams, options: Descent) -> torch.optim.SGD:
    """SGD with two groups: the encoder, and all other layers, which learn `options.decoder` times as fast."""
    encoder = list(network.encoder.parameters())
    own = {id(weight) for weight in encoder}
    rest = [weight for weight in network.parameters() if id(weight) not in own]
    groups: list[dict[str, Any]] = [{"params": encoder, "factor": 1.0}, {"params": rest, "factor": options.decoder}]
    return torch.optim.SGD(
        groups, lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )


def set_rate(optimizer: torch.optim.Optimizer, options: Descent, step: int, steps: int) -> float:
    """Set the learning rate of every group for one step (0 to steps - 1), and return the encoder's."""
    rate = options.learning_rate * (1 - step / steps) ** options.power
    set_rates(optimizer, rate)
    return rate


def begin_with(network: ScaleStreams, weights: Path) -> str:
    """Load torchvision's weights into the encoder, and return the file's SHA-256.

    Raises:
        SettingError: the file is no state dict.
        ModelError: it is that of another network.
    """
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        names = list(state)
    except Exception as error:  # torch raises many kinds of errors
        remedy = "give a state dict that torch.save wrote"
        raise SettingError(f"{weights} contains no weights ({type(error).__name__})", remedy) from None
    if not all(isinstance(state[name], Tensor) for name in names):
        raise SettingError(f"{weights} holds more than tensors", "give the state dict alone")
    network.encoder.load_torchvision(state)
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the labelled pixels; 0 where there is none."""
    total = cross_entropy(logits.float(), labels, ignore_index=UNLABELLED, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


def train_streams(
    config: StreamsConfig,
    out: Path,
    folder: Path | None = None,
    encoder_weights: Path | None = None,
    stop_after: int | None = None,
) -> Path:
    """Run or continue an experiment. Returns the checkpoint.

    Args:
        out: the run's folder.
        folder: of the data set, in place of the configuration's.
        encoder_weights: a state dict of torchvision's model of the encoder's name, to begin with.
        stop_after: end after this many steps in all, as if interrupted there.

    Raises:
        InputError: files are missing or cannot be used.
        SettingError: the folder holds another experiment, or the loss is no longer a number.
        ModelError: weights that do not fit the encoder.
        OutputError: another training writes into the folder, or nothing may be written there.
    """
    with hold_run(out):
        return _train_streams(config, out, folder, encoder_weights, stop_after)


def _train_streams(
    config: StreamsConfig, out: Path, folder: Path | None, encoder_weights: Path | None, stop_after: int | None
) -> Path:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    items = photographs(config.data, "train", folder)
    data = checksum(items)
    torch.manual_seed(config.run.seed)
    network = ScaleStreams(**config.architecture).to(device).train()
    optimizer = build_descent(network, config.descent)
    checkpoint, start, text = out / "checkpoint.pt", 0, streams_toml(config)
    state = own_checkpoint(checkpoint, lambda recorded, _: recorded == text, data, config.crops.per_step, device)
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
        print(f"going on after step {start}", flush=True)
    else:
        origin = None if encoder_weights is None else begin_with(network, encoder_weights)
        facts = {"data_sha256": data, "photographs": len(items), "encoder_weights_sha256": origin}
        write_environment(out, text, device, facts)

    steps = config.run.steps
    last = min(steps, stop_after or steps)
    record = Record(out, start, steps, text)
    for step in range(start, last):
        torch.manual_seed(config.run.seed * 1_000_003 + step)
        images, labels, names = draw_crops(items, config.crops, config.run.seed, step)
        rate = set_rate(optimizer, config.descent, step, steps)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.run.precision == "bfloat16"):
            loss = network.training_loss(entropy, images.to(device), labels.to(device))
        if not torch.isfinite(loss):
            raise SettingError(
                f"The loss of step {step + 1} is {loss.item()}, on {', '.join(names)}",
                "check these, or lower descent.learning_rate; the previous checkpoint is kept",
            )
        loss.backward()
        optimizer.step()
        done = step + 1
        record.add(done, loss.item(), rate, names)
        if done % config.run.checkpoint_every == 0 or done == last:
            weights = network.state_dict()
            kept = {"step": done, "config": text, "data_sha256": data, "segments": config.crops.per_step}
            save(checkpoint, {**kept, "network": weights, "average": weights, "optimizer": optimizer.state_dict()})
    record.close()
    return checkpoint


def run(options: argparse.Namespace) -> Path:
    """Carry out the options; returns the checkpoint."""
    config = load_streams_config(options.config, options.overrides)
    out = options.out or run_folder(options.config)
    return train_streams(config, out, options.data, options.encoder_weights)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a network of scale streams on photographs with labels.")
    parser.add_argument("config", type=Path, help="a TOML file, such as those in Training/streams_configs/voc2012")
    parser.add_argument("--out", type=Path, help="the run's folder (Runs/<configuration>); a run in it is continued")
    add_data(parser)
    parser.add_argument("--encoder-weights", type=Path, help="torchvision's weights of the encoder, to begin with")
    add_overrides(parser, "run.seed=2")
    options = parser.parse_args(arguments)
    return run_script(lambda: run(options), CONTINUED)


if __name__ == "__main__":
    sys.exit(main())
