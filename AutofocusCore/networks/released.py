"""Loads the authors' checkpoints (``*.pth.tar``) safely, and renames their weights to ours.

The files hold ``{"epoch", "state_dict", "opt_dict"}`` in PyTorch's legacy format, with keys under ``module.``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from AutofocusCore.errors import ModelError
from AutofocusCore.networks.afnet import DILATION_RATES, AFNet
from AutofocusCore.networks.build import build_network

REMEDY = "give a checkpoint that the authors' train.py saved (Basic, ASPP_s, ASPP_c or AFN1 to AFN6)"

# Patterns of their names and our names, tried in this order after the prefix "module." is removed.
RENAMES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"^(conv|bn)([12])\.", lambda m: f"stem.{int(m[2]) - 1}.{'conv' if m[1] == 'conv' else 'norm'}."),
    (r"^layers\.(\d)\.", lambda m: f"blocks.{m[1]}."),
    (r"^layer([345])\.", lambda m: f"blocks.{int(m[1]) - 3}."),
    (r"^(blocks\.\d)\.convatt1\.", r"\1.second.attention.0."),
    (r"^(blocks\.\d)\.convatt2\.", r"\1.second.attention.2."),
    (r"^(blocks\.\d)\.convatt11\.", r"\1.first.attention.0."),
    (r"^(blocks\.\d)\.convatt12\.", r"\1.first.attention.2."),
    (r"^(blocks\.\d)\.convatt21\.", r"\1.second.attention.0."),
    (r"^(blocks\.\d)\.convatt22\.", r"\1.second.attention.2."),
    (r"^(blocks\.\d)\.bn_list1\.", r"\1.first.norms."),
    (r"^(blocks\.\d)\.bn_list2\.", r"\1.second.norms."),
    (r"^(blocks\.\d)\.conv1\.", r"\1.first.conv."),
    (r"^(blocks\.\d)\.conv2\.", r"\1.second.conv."),
    (r"^(blocks\.\d)\.bn1\.", r"\1.first.norm."),
    (r"^(blocks\.\d)\.bn2\.", r"\1.second.norm."),
    (r"^(blocks\.\d)\.downsample\.0\.", r"\1.projection.conv."),
    (r"^(blocks\.\d)\.downsample\.1\.", r"\1.projection.norm."),
    (r"^fc\.", "head."),
    (r"^(aspp|conv_list)\.", "head.convs."),
    (r"^bn_list\.", "head.norms."),
    (r"^last_list\.", "head.classifiers."),
    (r"^bn9\.", "head.norm."),
    (r"^fc9\.", "head.classifier."),
]


def load_released_checkpoint(path: str | Path) -> AFNet:
    """Load one of the authors' checkpoints as a network in evaluation mode.

    Architecture, channels and classes follow from the keys; nothing in the file is executed. The file does not tell the
    dilation rates: four branches get the paper's rates (2, 6, 10, 14), other numbers continue in steps of 4.

    Raises:
        ModelError: the file is missing, damaged, unsafe, or not such a checkpoint.
    """
    path = Path(path)
    state = {_rename(key): value for key, value in _read_state(path).items()}
    options = _recognise(path, state)
    network = build_network(**options)
    assert isinstance(network, AFNet)
    network.load_state_dict(_checked(path, network, state))
    return network.eval()


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"There is no checkpoint {path}", "check the path")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises errors of many kinds here; each of them means that the file cannot be used
        raise ModelError(
            f"{path} is damaged or holds more than plain weights ({type(error).__name__})", REMEDY
        ) from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path} holds no 'state_dict' of weights", REMEDY)
    return state


def _rename(key: str) -> str:
    key = key.removeprefix("module.")
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def _recognise(path: Path, state: dict[str, Tensor]) -> dict[str, Any]:
    """The options of ``build_network`` that follow from the keys and shapes of ``state``."""
    first = state.get("stem.0.conv.weight")
    classifier = next(
        (state[key] for key in ("head.weight", "head.classifier.weight", "head.classifiers.0.weight") if key in state),
        None,
    )
    if first is None or classifier is None or first.ndim != 5 or classifier.ndim != 5:
        raise ModelError(f"{path} is not one of the released networks", REMEDY)
    layers = {match[1] for key in state if (match := re.match(r"(blocks\.\d\.\w+)\.attention\.0\.weight", key))}
    if "head.classifiers.0.weight" in state:
        architecture = "aspp-s"
    elif "head.classifier.weight" in state:
        architecture = "aspp-c"
    else:
        architecture = f"afn-{len(layers)}" if layers else "basic"
    branches = {
        state[f"{layer}.attention.2.weight"].shape[0] for layer in layers if f"{layer}.attention.2.weight" in state
    }
    branches |= {len([key for key in state if re.match(r"head\.convs\.\d+\.weight", key)])} - {0}
    if len(branches) > 1:
        raise ModelError(f"The layers of {path} disagree in their number of branches {sorted(branches)}", REMEDY)
    count = branches.pop() if branches else len(DILATION_RATES)
    return {
        "architecture": architecture,
        "in_channels": first.shape[1],
        "num_classes": classifier.shape[0],
        "dilation_rates": [2 + 4 * k for k in range(count)],
    }


def _checked(path: Path, network: AFNet, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``state`` if it fits ``network`` key by key and shape by shape."""
    expected = network.state_dict()
    for key in sorted(expected.keys() ^ state.keys()):
        kind = "lacks" if key in expected else "has an unknown"
        raise ModelError(f"{path} {kind} tensor {key!r}", REMEDY)
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            raise ModelError(
                f"Tensor {key!r} of {path} is {tuple(state[key].shape)}, not {tuple(tensor.shape)}", REMEDY
            )
        if tensor.is_floating_point() and not torch.isfinite(state[key]).all():
            raise ModelError(f"Tensor {key!r} of {path} holds values that are not finite", REMEDY)
    return state
