"""`autofocus devices`: lists the computing devices."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from AutofocusCore.cli.console import print_json, print_table, readable_bytes
from AutofocusCore.cli.interrupt import Signals


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("devices", help="list the computing devices, the fastest first")
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Run the command."""
    from AutofocusCore.inference import list_devices

    devices = list_devices()
    if args.json:
        print_json([dataclasses.asdict(device) for device in devices])
        return 0
    rows = [
        (d.id, readable_bytes(d.free_bytes), readable_bytes(d.total_bytes), ", ".join(d.precisions), d.name)
        for d in devices
    ]
    print_table(("Device", "Free", "Total", "Precisions", "Name"), rows)
    print(f"\nModels that compute the patient alone run on the processor in {_kernel()}.")
    return 0


def _kernel() -> str:
    from AutofocusCore.kernels import native_kernel

    name = native_kernel()
    return f"native code ({name})" if name else "PyTorch: native code was not built here"
