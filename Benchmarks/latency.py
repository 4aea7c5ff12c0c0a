"""How long the panel blocks the application during a run: `make latency`.

A timer of the event loop fires every 5 ms. Its delay is the time during which the application could neither redraw nor
react to a click. Measured in the stand-in for the application, with the real panel, worker and scene.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MODEL = "pelvis-phantom"
SIZES = {  # voxels along x, y, z, and voxel size in mm
    "144 × 112 × 80": ((144, 112, 80), (3.0, 3.0, 3.0)),
    "256 × 256 × 120": ((256, 256, 120), (1.7, 1.4, 2.0)),
    "512 × 512 × 160": ((512, 512, 160), (0.85, 0.7, 1.5)),
}


def main() -> int:
    """Measure and print a table."""
    import slicer

    from Testing.SlicerHost import install_host

    host = install_host()
    panel = host.load_module(ROOT / "AutofocusSegmentation" / "AutofocusSegmentation.py").panel
    from AutofocusSegmentationLib.scene.image_node import add_image

    from AutofocusCore.phantom import make_phantom

    def wait(until: object) -> list[float]:
        waited = host.run(until, 900)
        if not waited.reached:
            raise TimeoutError(panel.ui.statusLabel.text)
        return [1000 * late for late in waited.lateness]

    wait(lambda: MODEL in panel.models.names)
    panel.models.choose(MODEL)
    print(f"{'volume':>18}  {'run':>6}  {'99th percentile':>16}  {'longest':>9}")
    for title, (size, spacing) in SIZES.items():
        slicer.mrmlScene.Clear(0)
        image, _ = make_phantom(2018, size=size, spacing=spacing, dose=1.0)
        node = add_image(slicer.mrmlScene, "CT", image)
        wait(lambda node=node: panel.inputs.nodes() == [node] and "GiB" in panel.ui.planLabel.text)
        panel.ui.segmentButton.click()
        late = wait(lambda: not panel.control.running)
        if panel.run.result is None:
            print(panel.ui.statusLabel.text, file=sys.stderr)
            return 1
        late += [1000 * value for value in host.run(lambda: False, 0.5).lateness]
        slow, longest = np.percentile(late, 99), max(late)
        print(f"{title:>18}  {panel.run.seconds:4.0f} s  {slow:13.1f} ms  {longest:6.1f} ms", flush=True)
    panel.close()
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sys.exit(main())
