"""A stand-in for the Slicer application, in which the tests drive the real panel against the real MRML scene.

The wheel `slicer-core` supplies the real scene, its nodes and logics, and `slicer.util`. It has no other of Slicer's
Python files, and no package on the index has `ScriptedLoadableModule`, `parameterNodeWrapper` or `i18n`, so those are
supplied here as well. Qt comes from PySide6; of CTK and the application there is only what the module needs. Each
stand-in names the class that it replaces and the documented behaviour that it keeps.

    host = install_host()
    panel = host.load_module(Path("AutofocusSegmentation/AutofocusSegmentation.py"))
"""

from __future__ import annotations

import ctypes
import sys

from Testing.SlicerHost.host import Host, install_host

__all__ = ["Host", "install_host"]


def keep_singletons() -> None:
    """Give None, True and False references that cannot run out.

    PySide6 6.12 gives back one reference too many of the result of `SignalInstance.emit`, so that Python ended
    ("deallocating None") after some thousand signals. From Python 3.12 on these objects are immortal.
    """
    if sys.version_info < (3, 12) and sys.implementation.name == "cpython":
        for singleton in (None, True, False):
            ctypes.c_ssize_t.from_address(id(singleton)).value += 1 << 40


keep_singletons()
