"""The paper's Table 3: trainable parameters of the ten networks with 4 input channels and 5 classes.

    python -m Training.table3

Ends with status 1 when a network does not have exactly the paper's number.
"""

from __future__ import annotations

import sys

from AutofocusCore import build_network, count_parameters

PAPER = {
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


def main() -> int:
    """Print the table; the exit status says whether every number agrees."""
    agree = True
    print(f"{'network':<10}{'here':>9}{'paper':>9}")
    for architecture, paper in PAPER.items():
        here = count_parameters(build_network(architecture, in_channels=4, num_classes=5))
        agree &= here == paper
        print(f"{architecture:<10}{here:>9,}{paper:>9,}{'' if here == paper else '  differs'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
