"""`autofocus networks`: the ten networks of the paper's Table 3 and their numbers of trainable parameters."""

from __future__ import annotations

import argparse
from typing import Any

from AutofocusCore.cli.console import print_json, print_table, say
from AutofocusCore.cli.interrupt import Signals

# Qin et al., MICCAI 2018, Table 3: four input channels, five classes.
TABLE_3 = {
    "basic": 315_725,
    "aspp-s": 967_330,
    "aspp-c": 478_435,
    "deepmedic": 662_555,
    "afn-1": 349_904,
    "afn-2": 371_908,
    "afn-3": 393_852,
    "afn-4": 415_796,
    "afn-5": 437_740,
    "afn-6": 450_209,
}


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("networks", help="count the parameters of the networks, as in the paper's Table 3")
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Build every network and compare; status 1 if one differs from the paper."""
    from AutofocusCore.networks.build import build_network, count_parameters

    counts = {name: count_parameters(build_network(name, in_channels=4, num_classes=5)) for name in TABLE_3}
    same = counts == TABLE_3
    if args.json:
        print_json({"here": counts, "paper": TABLE_3, "same": same})
        return 0 if same else 1
    rows = [(name, f"{counts[name]:,}", f"{TABLE_3[name]:,}") for name in TABLE_3]
    print_table(("Network", "Parameters", "Table 3"), rows)
    say("All ten are as in the paper." if same else "NOT as in the paper.")
    return 0 if same else 1
