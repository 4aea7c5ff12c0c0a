"""Baselines and ablations of the source, as options of one network."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_PLAIN: dict[str, Any] = {"merge": "attention", "multi_stage": False, "dilations": (), "recalibration": "none"}

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "single-scale": {"scales": (1.0,), "merge": "average", "recalibration": "none"},
        "max": {"merge": "max", "recalibration": "none"},
        "average": {"merge": "average", "recalibration": "none"},
        # Attention to Scale (Chen et al., CVPR 2016): attention from the last features alone.
        "attention-to-scale": _PLAIN,
        "multi-stage": {**_PLAIN, "multi_stage": True},
        "diverse-dilations": {**_PLAIN, "multi_stage": True, "dilations": None},
        "full": {},
        # One part left out at a time.
        "without-multi-stage": {"multi_stage": False},
        "without-diverse-dilations": {"dilations": (2, 2)},
        "without-location-attention": {"merge": "average"},
        "without-recalibration": {"recalibration": "none"},
    }
)
"""Options of each variant, by name, for ``build_network("scale-streams", **VARIANTS[name])``."""
