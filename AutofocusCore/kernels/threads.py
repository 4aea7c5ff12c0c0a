"""How many plain threads the native code uses."""

from __future__ import annotations

import torch

from AutofocusCore.errors import SettingError

_chosen: int | None = None


def set_threads(count: int | None) -> None:
    """Use ``count`` threads from now on; None: as many as PyTorch does.

    Raises:
        SettingError: for a count under one.
    """
    global _chosen
    if count is not None and count < 1:
        raise SettingError(f"{count} threads cannot compute", "give a number of at least 1")
    _chosen = count


def threads() -> int:
    """The number of threads in use."""
    return torch.get_num_threads() if _chosen is None else _chosen
