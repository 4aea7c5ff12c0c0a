"""Scans to try the module with: synthetic ones, made when they are asked for. No network, and nobody's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORY = "AutofocusSegmentation"
ICONS = Path(__file__).resolve().parents[2] / "Resources" / "Icons"
SIZE = (216, 168, 100)  # voxels along x, y, z
SPACING = (2.0, 2.0, 2.4)  # mm; finer than the model's, as real scans are


@dataclass(frozen=True)
class Sample:
    """A synthetic CT.

    Args:
        name: of the node and of the thumbnail in Resources/Icons.
        title: what the user reads; names the sample in the module Sample Data.
        seed: which patient. No model was trained, tuned or tested on 2018.
        dose: relative to a planning CT of good quality.
    """

    name: str
    title: str
    seed: int
    dose: float


SAMPLES = (
    Sample("SyntheticPelvicCT", "Pelvic CT (synthetic)", 2018, 1.0),
    Sample("SyntheticPelvicCTLowDose", "Pelvic CT, same patient at a tenth of the dose (synthetic)", 2018, 0.1),
)


def register_sample_data() -> None:
    """Make the samples known to the module Sample Data; a second call changes nothing."""
    import SampleData

    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # Slicer 5.11 and newer
        logic.registerCustomSampleDataCategory(CATEGORY, title="Autofocus Segmentation")
    known = {source.sampleName for source in logic.sampleDataSourcesByCategory(CATEGORY)}
    for sample in SAMPLES:
        if sample.title in known:
            continue
        logic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.title,
            # The module wants an address for every sample, and never opens that of one with a downloader of its own.
            uris=f"phantom:{sample.seed}",
            fileNames=f"{sample.name}.nrrd",
            nodeNames=sample.name,
            thumbnailFileName=str(ICONS / f"{sample.name}.png"),
            customDownloader=load_sample,
        )


def load_sample(source: Any) -> list[Any]:
    """Make the scan of a sample-data source, add it to the scene and show it. Takes some seconds.

    Returns:
        The volume node, in a list, as a SampleData downloader's result.
    """
    import slicer

    sample = next(sample for sample in SAMPLES if sample.title == source.sampleName)
    with slicer.util.WaitCursor():
        node = add_sample(slicer.mrmlScene, sample)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return [node]


def add_sample(scene: Any, sample: Sample) -> Any:
    """The scan of a sample as a volume node that says what it is."""
    from AutofocusCore.phantom import make_phantom
    from AutofocusSegmentationLib.scene.image_node import add_image

    image, _ = make_phantom(sample.seed, size=SIZE, spacing=SPACING, dose=sample.dose)
    node = add_image(scene, sample.name, image)
    node.SetDescription(f"{sample.title}: computed, not scanned. It shows nobody.")
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400.0, 40.0)  # HU, as the pelvis is read
    return node
