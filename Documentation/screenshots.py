"""Take the tutorial's pictures: `make screenshots`.

The panel is the real one, driven by clicks in the tests' stand-in for the application, with a real worker; the views
are drawn by Slicer's own displayable managers. What a picture shows has been computed for it.

    python -m Documentation.screenshots --scan CT.nii.gz --model head-neck-ct     another scan and model, for a look
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from Demo.offscreen import choose_window, why_not
from Documentation.teach_picture import photograph_teaching

ROOT = Path(__file__).resolve().parents[1]
PICTURES = Path(__file__).with_name("Pictures")
MODEL = "pelvis-phantom"
WIDTH = 400  # pixels of the panel, as narrow as users have it
SECONDS = 1200


class Photographer:
    """Clicks, waits and takes pictures of the panel.

    Args:
        folder: where the pictures go.
        model: which model is chosen.
        suffix: of the pictures' names.
    """

    def __init__(self, folder: Path, model: str = MODEL, suffix: str = "") -> None:
        from Testing.SlicerHost import install_host

        self.folder, self.model, self.suffix = folder, model, suffix
        self.host = install_host()
        self.widget = self.host.load_module(ROOT / "AutofocusSegmentation" / "AutofocusSegmentation.py")
        self.panel, self.ui = self.widget.panel, self.widget.ui

    def wait(self, until: Any) -> None:
        if not self.host.run(until, SECONDS).reached:
            raise TimeoutError(self.ui.statusLabel.text)

    def take(self, name: str, *unfolded: str) -> None:
        """A picture of the whole panel, with these sections unfolded."""
        for section in ("review", "teach", "attention", "options", "log"):
            getattr(self.ui, f"{section}CollapsibleButton").collapsed = section not in unfolded
        self.host.run(lambda: False, 0.3)
        self.host.grab(self.widget.parent, self.folder / f"panel-{name}{self.suffix}.png", width=WIDTH)

    def load(self, scan: Path | None = None, *, sample: int = 0) -> Any:
        """A scan from a file, or a synthetic one, which the views show then."""
        import slicer
        from AutofocusSegmentationLib.panel.sample_data import SAMPLES, add_sample
        from AutofocusSegmentationLib.scene.image_node import add_image

        from AutofocusCore.images import read_image

        if scan is None:
            node = add_sample(slicer.mrmlScene, SAMPLES[sample])
        else:
            node = add_image(slicer.mrmlScene, scan.name.partition(".")[0], read_image(scan).image)
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.host.run(lambda: False, 0.2)
        return node

    def choose(self) -> None:
        """The model, and the plan for what is chosen."""
        self.choose_model()
        self.wait(lambda: self.panel.planner.estimate is not None)

    def choose_model(self) -> None:
        self.wait(lambda: self.model in self.panel.models.names)
        self.panel.models.choose(self.model)

    def segment(self, picture: bool = True) -> None:
        self.ui.segmentButton.click()
        if picture:
            self.wait(lambda: self.ui.progressBar.value > 200 or not self.panel.control.running)
            self.take("running")
        self.wait(lambda: not self.panel.control.running)
        if self.panel.run.result is None:
            raise RuntimeError(self.ui.statusLabel.text)
        self.host.run(lambda: False, 0.3)

    def review(self) -> None:
        """The review section, with the result compared with a copy of it, which then goes."""
        import slicer
        from AutofocusSegmentationLib.scene.result_identity import keep_copy

        copy = keep_copy(self.panel.result.node)
        self.ui.compareSelector.setCurrentNode(copy)
        self.ui.compareButton.click()
        self.wait(lambda: self.ui.comparisonTable.rowCount > 0)
        self.ui.uncertaintyButton.click()
        self.ui.nextPlaceButton.click()
        self.take("review", "review")
        self.ui.uncertaintyButton.click()
        slicer.mrmlScene.RemoveNode(copy)

    def chart(self, name: str, point: tuple[float, float, float]) -> None:
        """The bars at a point of the patient."""
        found = self.panel.attention.probe.look_at(point)
        self.host.grab(self.ui.chartLabel, self.folder / f"chart-{name}.png")
        print(f"{name}: looked {found.distance_mm:.1f} mm far")


def photograph_panel(folder: Path, *, scan: Path | None, model: str, suffix: str = "") -> Path:
    """Before, during and after a run, with two patients in the end. Returns the scene as .mrb."""
    import slicer

    from Demo.scene import segment_points

    camera = Photographer(folder, model, suffix)
    camera.load(scan)
    camera.choose()
    camera.take("before")
    camera.segment()
    camera.take("after")
    camera.review()
    camera.ui.attentionButton.click()
    node = camera.panel.result.node
    places = dict(zip(node.GetSegmentation().GetSegmentIDs(), segment_points(node), strict=True))
    names = {node.GetSegmentation().GetSegment(key).GetName(): points for key, points in places.items() if len(points)}
    by_size = sorted(names, key=lambda name: len(names[name]))
    camera.take("attention", "attention")
    for name, where in (("small", by_size[0]), ("large", by_size[-1])) if by_size else ():
        points = names[where]
        middle = points[((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()]
        print(f"chart-{name}.png: {where}")
        camera.chart(name, (float(middle[0]), float(middle[1]), float(middle[2])))
    camera.take("attention", "attention")
    camera.panel.attention.probe.stop()
    scene = folder / "tutorial.mrb"
    if not slicer.mrmlScene.WriteToMRB(str(scene)):
        raise RuntimeError(f"{scene} could not be written")
    first = camera.panel.inputs.nodes()[0]
    camera.panel.inputs._selectors[0].setCurrentNode(None)
    camera.panel.inputs._selectors[0].setCurrentNode(first)  # as a user chooses it
    camera.load(sample=1)
    camera.take("two-patients")
    camera.widget.cleanup()
    return scene


def photograph_views(mrb: Path, folder: Path, what: str) -> None:
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
    from AutofocusSegmentationLib.scene.attention_set import AttentionSet
    from AutofocusSegmentationLib.scene.outlines import show_as_before

    segmentation = scene.mrml.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    show_as_before(segmentation)
    segmentation.CreateClosedSurfaceRepresentation()
    scan = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    attention = AttentionSet.find(scene.mrml, segmentation)
    pictures = draw(views, scan, segmentation, None if attention is None else attention.reach, folder, what=what)
    for picture in pictures:
        picture.replace(picture.with_name(f"tutorial-{picture.name}"))


def in_own_process(*options: str, **environment: str) -> None:
    """This program again, with other options: what follows begins with an empty scene and the models as they came."""
    command = [sys.executable, "-m", "Documentation.screenshots", *options]
    subprocess.run(command, check=True, env={**os.environ, **environment}, cwd=ROOT)


def at_200_percent(folder: Path, model: str) -> None:
    """The same panel on a screen that is scaled by two: a process of its own, as Qt scales a whole process."""
    with tempfile.TemporaryDirectory() as place:
        in_own_process("--scaled", "--model", model, "--output", place, QT_SCALE_FACTOR="2")
        (Path(place) / "panel-attention-200.png").replace(folder / "panel-attention-200.png")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Take the tutorial's pictures.")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder (Documentation/Pictures)")
    parser.add_argument("--scan", type=Path, help="image file, in place of the synthetic scan")
    parser.add_argument("--model", default=MODEL, help=f"name of the model ({MODEL})")
    parser.add_argument("--scaled", action="store_true", help="the panel alone, on a screen that is scaled")
    parser.add_argument("--teaching", action="store_true", help="the section Teach alone, after a lesson")
    options = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    choose_window()
    folder = options.output.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if options.teaching:
        photograph_teaching(Photographer(folder))
        return 0
    suffix = "-200" if options.scaled else ""
    mrb = photograph_panel(folder, scan=options.scan, model=options.model, suffix=suffix)
    if not options.scaled:
        photograph_views(mrb, folder, "synthetic CT" if options.scan is None else options.scan.name)
        at_200_percent(folder, options.model)
        in_own_process("--teaching", "--output", str(folder))
    mrb.unlink()
    print(f"The pictures are in {options.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
