r"""Segment a cohort without anybody at the screen.

In Slicer, where the two dashes end Slicer's own options:

    Slicer --no-splash --no-main-window --python-script AutofocusBatch.py -- \
        --input scans --output results --model hippocampus-mr --attention --mrb

Without --mrb, which writes Slicer's scenes, PythonSlicer and any Python with the package `autofocus-segmentation` will
do, and with it any that has `slicer-core` besides:

    python AutofocusBatch.py --input cohort.csv --output results --model hippocampus-mr

Exit status: 0 all done; 1 something failed, and the reason is on stderr and in failures.csv; 2 wrong usage.
"""
# This file is plain ASCII, as Slicer reads it in the encoding of the system.

import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1]


def prepare_paths():
    """Put the module's folder and the engine's, which is the same in an installed extension, first on the path."""
    homes = [folder for folder in (MODULE, MODULE.parent) if (folder / "AutofocusCore" / "__init__.py").is_file()]
    for folder in (*homes[:1], MODULE):
        path = str(folder)
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)


def main():
    """Run, and whatever happens give a status."""
    try:
        prepare_paths()
        from AutofocusSegmentationLib.batch.command import run

        return run(sys.argv[1:])
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1


def leave(status):
    """End the process; in Slicer the application, even if this file's own folder is damaged."""
    try:
        from AutofocusSegmentationLib.batch.exit import end_process
    except BaseException:
        import os

        os._exit(status or 1)
    end_process(status)


if __name__ == "__main__":
    leave(main())
