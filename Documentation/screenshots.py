"""Take the tutorial's pictures: `make screenshots`.

The panel is the real one, driven by clicks in the tests' stand-in for the application, with a real worker; the views
are drawn by Slicer's own displayable managers. What a picture shows has been computed for it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from Demo.offscreen import choose_window, why_not

ROOT = Path(__file__).resolve().parents[1]
PICTURES = Path(__file__).with_name("Pictures")
MODEL = "pelvis-phantom"
WIDTH = 470  # pixels of the panel
SECONDS = 600


class Photographer:
    """Clicks, waits and takes pictures of the panel."""

    def __init__(self, folder: Path) -> None:
        from Testing.SlicerHost import install_host

        self.folder = folder
        self.host = install_host()
        self.widget = self.host.load_module(ROOT / "AutofocusSegmentation" / "AutofocusSegmentation.py")
        self.panel, self.ui = self.widget.panel, self.widget.ui

    def wait(self, until: Any) -> None:
        if not self.host.run(until, SECONDS).reached:
            raise TimeoutError(self.ui.statusLabel.text)

    def take(self, name: str, *folded: str) -> None:
        """A picture of the whole panel, with these sections folded up."""
        for section in ("inputs", "model", "device", "result", "attention"):
            getattr(self.ui, f"{section}CollapsibleButton").collapsed = section in folded
        self.host.run(lambda: False, 0.3)
        self.host.grab(self.widget.parent, self.folder / f"panel-{name}.png", width=WIDTH)

    def choose(self) -> Any:
        """A synthetic scan and its model."""
        import slicer
        from AutofocusSegmentationLib.panel.sample_data import SAMPLES, add_sample

        node = add_sample(slicer.mrmlScene, SAMPLES[0])
        self.wait(lambda: MODEL in self.panel.models.names)
        self.panel.models.choose(MODEL)
        self.wait(lambda: "GiB" in self.ui.planLabel.text)
        return node

    def segment(self) -> None:
        self.ui.segmentButton.click()
        self.wait(lambda: self.ui.progressBar.value > 300 and self.ui.statusLabel.text.startswith("Segmenting"))
        self.take("running", "result", "attention")
        self.wait(lambda: not self.panel.control.running)
        if self.panel.run.result is None:
            raise RuntimeError(self.ui.statusLabel.text)

    def chart(self, name: str, point: tuple[float, float, float]) -> None:
        """The bars at a point of the patient."""
        found = self.panel.attention.probe.look_at(point)
        self.host.grab(self.ui.chartLabel, self.folder / f"chart-{name}.png")
        print(f"{name}: effective dilation {found.effective_mm:.1f} mm")


def photograph_panel(folder: Path) -> Path:
    """Before, during and after a run. Returns the scene as .mrb."""
    import slicer

    from Demo.scene import segment_points

    camera = Photographer(folder)
    camera.choose()
    camera.take("before", "result", "attention")
    camera.segment()
    camera.take("after", "inputs", "model", "device", "attention")
    camera.ui.attentionCheckBox.setChecked(True)
    node = camera.panel.result.node
    places = dict(zip(node.GetSegmentation().GetSegmentIDs(), segment_points(node), strict=True))
    names = {node.GetSegmentation().GetSegment(key).GetName(): points for key, points in places.items() if len(points)}
    by_size = sorted(names, key=lambda name: len(names[name]))
    for name, where in (("small", by_size[0]), ("large", by_size[-1])):
        points = names[where]
        middle = points[((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()]
        print(f"chart-{name}.png: {where}")
        camera.chart(name, (float(middle[0]), float(middle[1]), float(middle[2])))
    camera.take("attention", "inputs", "model", "device", "result")
    camera.panel.attention.probe.stop()
    scene = folder / "tutorial.mrb"
    if not slicer.mrmlScene.WriteToMRB(str(scene)):
        raise RuntimeError(f"{scene} could not be written")
    camera.widget.cleanup()
    return scene


def photograph_views(mrb: Path, folder: Path) -> None:
    """The saved scene in slice and 3-D views."""
    from Demo.gallery import draw, open_views
    from Demo.scene import new_scene

    scene = new_scene()
    views = open_views(scene)
    with tempfile.TemporaryDirectory() as place:
        with zipfile.ZipFile(mrb) as archive:
            archive.extractall(place)
        scene.mrml.SetURL(str(next(Path(place).rglob("*.mrml"))))
        scene.mrml.Import()
    segmentation = scene.mrml.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateClosedSurfaceRepresentation()
    scan = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    zoom = scene.mrml.GetFirstNodeByName("Effective dilation, layer 1")
    pictures = draw(views, scan, segmentation, zoom, folder, what="synthetic CT")
    for picture in pictures:
        picture.replace(picture.with_name(f"tutorial-{picture.name}"))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Take the tutorial's pictures.")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder (Documentation/Pictures)")
    options = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    choose_window()
    options.output.mkdir(parents=True, exist_ok=True)
    mrb = photograph_panel(options.output.absolute())
    photograph_views(mrb, options.output.absolute())
    mrb.unlink()
    print(f"The pictures are in {options.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
