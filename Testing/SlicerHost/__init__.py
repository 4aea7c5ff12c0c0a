"""A stand-in for the Slicer application, in which the tests drive the real panel against the real MRML scene.

What the wheel `slicer-core` brings is used as it is: the scene, its nodes and logics, and `slicer.util`. What it lacks
is supplied here, by PySide6 where it is Qt, and by as little as the module needs where it is CTK or the application.
Each stand-in names the class that it stands for and the documented behaviour that it keeps.

    host = install_host()
    panel = host.load_module(Path("AutofocusSegmentation/AutofocusSegmentation.py"))
"""

from __future__ import annotations

from Testing.SlicerHost.host import Host, install_host

__all__ = ["Host", "install_host"]
