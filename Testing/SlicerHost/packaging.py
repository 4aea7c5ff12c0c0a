"""The module `slicer.packaging`, which installs nothing here: it notes what was to be installed."""

from __future__ import annotations

import types
from typing import Any


def module(installed: list[str]) -> types.ModuleType:
    """`pip_install`, through which slicer.util.pip_install goes too.

    Args:
        installed: the list that the requirements are noted in.
    """

    def pip_install(requirements: Any, **kwargs: Any) -> None:
        installed.extend([requirements] if isinstance(requirements, str) else map(str, requirements))

    made = types.ModuleType("slicer.packaging", __doc__)
    vars(made).update(pip_install=pip_install)
    return made
