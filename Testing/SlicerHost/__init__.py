"""A stand-in for the Slicer application, in which the tests drive the real panel against the real MRML scene.

The wheel `slicer-core` supplies the real scene, its nodes and logics, and `slicer.util`. It has no other of Slicer's
Python files, and no package on the index has `ScriptedLoadableModule`, `parameterNodeWrapper` or `i18n`, so those are
supplied here as well. Qt comes from PySide6; of CTK and the application there is only what the module needs. Each
stand-in names the class that it replaces and the documented behaviour that it keeps.

    host = install_host()
    panel = host.load_module(Path("AutofocusSegmentation/AutofocusSegmentation.py"))
"""

from __future__ import annotations

from Testing.SlicerHost.host import Host, install_host

__all__ = ["Host", "install_host"]
