"""Options that `segment` and `batch` share, and their allowed values; other values are wrong usage."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import SettingError
from AutofocusCore.jobs.job import MODES, PRECISIONS, Settings

if TYPE_CHECKING:
    from AutofocusCore.models import ModelSpec

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for `Settings`, except those that a batch does not need."""
    group = parser.add_argument_group("how to compute")
    group.add_argument("--device", default="auto", metavar="D", help="auto (default), cpu, cuda:N or mps")
    group.add_argument("--precision", choices=PRECISIONS, default="auto", help="default: the device's best")
    group.add_argument(
        "--mode", choices=MODES, default="exact",
        help="exact (default): as if the whole volume went through the network at once; "
        "paper: 75³ tiles as in the authors' test script",
    )  # fmt: skip
    group.add_argument(
        "--memory-limit", type=memory, metavar="SIZE", help="such as 4G; default: 80 %% of the free memory"
    )
    group.add_argument(
        "--roi", type=roi, metavar="MASK|BOX",
        help="segment only there: a mask image, or x0,y0,z0,x1,y1,z1 in mm, RAS as Slicer shows it; "
        "LPS:x0,… for DICOM's axes",
    )  # fmt: skip
    group.add_argument(
        "--smallest-island", type=non_negative, default=0.0, metavar="MM3",
        help="remove islands of a structure smaller than this many mm³",
    )  # fmt: skip
    group.add_argument(
        "--attention-layers", type=layers, metavar="I,J",
        help="only these autofocus layers, counted from 1; default: all",
    )  # fmt: skip


def settings_of(args: argparse.Namespace, **more: Any) -> Settings:
    """The settings given by the options. Layers without --attention are wrong usage."""
    if args.attention_layers is not None and not args.attention:
        from AutofocusCore.cli.app import usage_error

        usage_error("--attention-layers says whose attention is written; give --attention too.")
    mask, box = args.roi if args.roi is not None else (None, None)
    return Settings(
        device=args.device,
        precision=args.precision,
        mode=args.mode,
        memory_limit=args.memory_limit,
        roi_mask=mask,
        roi_box=box,
        smallest_island_mm3=args.smallest_island,
        attention_layers=args.attention_layers,
        **more,
    )


def check_layers(layers: Sequence[int], spec: ModelSpec) -> None:
    """Refuse layers, counted from 0, that the model does not have.

    Raises:
        SettingError: the model has no such layer.
    """
    from AutofocusCore.jobs.run import attention_layers

    count, _ = attention_layers(spec)
    if not count:
        raise SettingError(f"The model {spec.name} has no autofocus layers", "leave out --attention-layers")
    missing = [str(layer + 1) for layer in layers if layer >= count]
    if missing:
        raise SettingError(
            f"The model {spec.name} has no autofocus layer {' or '.join(missing)}",
            f"give --attention-layers numbers from 1 to {count}, or leave it out for all",
        )


def settings_for_workers(args: argparse.Namespace) -> Settings:
    """As `settings_of`, with absolute paths, because a worker may run in another folder."""
    settings = settings_of(args)
    if settings.roi_mask is None:
        return settings
    return dataclasses.replace(settings, roi_mask=str(Path(settings.roi_mask).absolute()))


def memory(text: str) -> int:
    """4G, 512M, 1.5GiB or plain bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size of memory; write 4G or 512M")
    return int(float(found[1]) * UNITS[found[2].upper()])


def roi(text: str) -> tuple[str | None, tuple[float, ...] | None]:
    """A mask's path, or a box as six LPS millimetres."""
    found = re.fullmatch(r"\s*(?:(RAS|LPS)\s*:)?\s*([-+\d.,eE\s]+)", text, re.IGNORECASE)
    if (not found or "," not in found[2]) and text.count(",") != 5:
        return text, None
    if not found:
        if Path(text).exists():
            return text, None
        raise argparse.ArgumentTypeError(f"{text!r} is no box; write x0,y0,z0,x1,y1,z1 in mm, finite numbers")
    try:
        corner = [float(number) for number in found[2].split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no box; write x0,y0,z0,x1,y1,z1 in mm") from None
    if len(corner) != 6:
        raise argparse.ArgumentTypeError(f"a box has six numbers, and {text!r} has {len(corner)}")
    if any(corner[axis] == corner[axis + 3] for axis in range(3)):
        raise argparse.ArgumentTypeError(f"the box {text!r} is flat; its two corners must differ along every axis")
    sign = 1.0 if (found[1] or "RAS").upper() == "LPS" else -1.0
    return None, tuple(value * (sign if i % 3 < 2 else 1.0) + 0.0 for i, value in enumerate(corner))


def non_negative(text: str) -> float:
    """A number, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return value


def positive_int(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def layers(text: str) -> tuple[int, ...]:
    """`1,4` for people is layers 0 and 3 for programs."""
    return tuple(sorted({positive_int(word.strip()) - 1 for word in text.split(",")}))


def frame(text: str) -> int | str:
    """A frame's number, from 0, or "all"."""
    return "all" if text.lower() == "all" else natural(text)
