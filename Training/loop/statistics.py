"""BatchNorm's statistics, measured over whole scans as inference meets them, and fixed for the rest of a run.

In training, each scan or part of a scan is normalised by its own statistics. In inference, it is normalised by the
running statistics, a weighted mean over the last scans of training. The two differ, most of all if training takes parts
of scans; the boundaries of structures are then predicted beside their place.
Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from AutofocusCore.teaching.predicting import labels_of_scan
from AutofocusCore.teaching.statistics import batch_norms, keep_statistics
from Training.loop.data import Source
from Training.loop.step import Arithmetic


def fix_statistics(network: nn.Module, average: nn.Module, cases: Sequence[Source], arithmetic: Arithmetic) -> None:
    """Let both networks go on from the averaged weights, with statistics measured over the cases.

    Args:
        network: of the ROI domain. From here on it normalises as in inference, while its other parts learn.
        average: the moving average of its weights.
        cases: whole and unchanged; each counts the same.
        arithmetic: of the run.

    Raises:
        InputError: a case has an empty ROI.
    """
    network.load_state_dict(average.state_dict())
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all
    for source in cases:
        labels_of_scan(network, source.case, arithmetic)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    keep_statistics(network)
    average.load_state_dict(network.state_dict())
