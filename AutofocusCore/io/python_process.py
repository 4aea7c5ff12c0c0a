"""Command lines that run a module of this package in another Python process.

`python -m` puts the current folder first among the places that modules are imported from. Where that is a folder of
scans from elsewhere, a file in it with the name of a module would run as part of this program; so it is taken out
before anything is imported.
"""

from __future__ import annotations

import os

RUN = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; import runpy; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(python: str | os.PathLike[str], module: str, *arguments: str) -> list[str]:
    """The command that runs a module as `python -m` does, without looking for modules in the current folder.

    Args:
        python: the interpreter, or a launcher of one.
        module: its dotted name; its package is on the PYTHONPATH of the new process, or installed.
        arguments: the arguments that the module sees.
    """
    return [os.fspath(python), "-c", RUN, module, *arguments]
