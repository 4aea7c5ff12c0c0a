"""What the module AutofocusSegmentation is made of, one job a file; nothing is imported before it is needed.

AutofocusCore, the engine, lies beside the module in an installed extension, and beside the module's folder in a
checkout; it is found in either place.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _provide_core() -> None:
    module_folder = Path(__file__).resolve().parents[1]
    for place in (module_folder, module_folder.parent):
        if (place / "AutofocusCore" / "__init__.py").is_file():
            if str(place) not in sys.path:
                sys.path.insert(0 if place == module_folder else len(sys.path), str(place))
            return


_provide_core()
