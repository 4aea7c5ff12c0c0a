"""BatchNorm layers whose statistics stay as they are while the rest of a network learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import nn

AnyCase = TypeVar("AnyCase")


def keep_statistics(network: nn.Module) -> None:
    """Normalise by the running statistics from here on, in training too, and leave them as they are."""
    for norm in batch_norms(network):
        norm.eval()


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """All BatchNorm layers of a network."""
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def evenly(cases: Sequence[AnyCase], count: int) -> list[AnyCase]:
    """`count` of the cases, evenly spread over their order; all of them where there are fewer."""
    return [cases[i * len(cases) // count] for i in range(count)] if count < len(cases) else list(cases)
