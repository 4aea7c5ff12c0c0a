"""Sample scans: synthetic, computed on request. They need no network and show no real person."""

from __future__ import annotations

import email.message
import io
import tempfile
import urllib.error
import urllib.request
import urllib.response
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATEGORY = "AutofocusSegmentation"
SCHEME = "phantom"  # of the samples' addresses
SYNTHETIC = "AutofocusSegmentation.Synthetic"  # attribute of the volumes that are computed here
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

    teach_addresses()
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
            uris=f"{SCHEME}:{sample.name}",  # opened by SampleData.downloadSample, which knows no custom downloader
            fileNames=f"{sample.name}.nrrd",
            nodeNames=sample.name,
            thumbnailFileName=str(ICONS / f"{sample.name}.png"),
            customDownloader=load_sample,
        )


class PhantomOpener(urllib.request.BaseHandler):
    """Lets Python open addresses such as "phantom:SyntheticPelvicCT": the scan is computed, as an NRRD file."""

    def phantom_open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        """Compute the scan of an address; urllib calls this by its name."""
        name = request.full_url.partition(":")[2]
        sample = next((sample for sample in SAMPLES if sample.name == name), None)
        if sample is None:
            raise urllib.error.URLError(f"there is no sample {name}")
        import SimpleITK as sitk

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.nrrd"
            sitk.WriteImage(_image(sample), str(path), useCompression=True)
            content = path.read_bytes()
        headers = email.message.Message()
        headers["Content-Length"] = str(len(content))
        return urllib.response.addinfourl(io.BytesIO(content), headers, request.full_url)


def teach_addresses() -> None:
    """Let urllib open our addresses; what else it can open stays."""
    opener: Any = getattr(urllib.request, "_opener", None) or urllib.request.build_opener()
    if not any(isinstance(handler, PhantomOpener) for handler in opener.handlers):
        opener.add_handler(PhantomOpener())
        urllib.request.install_opener(opener)


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
    from AutofocusSegmentationLib.scene.image_node import add_image

    node = add_image(scene, sample.name, _image(sample))
    node.SetDescription(f"{sample.title}: computed, not scanned. It shows no real person.")
    node.SetAttribute(SYNTHETIC, "1")
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400.0, 40.0)  # HU, as the pelvis is read
    return node


def is_synthetic(node: Any) -> bool:
    """Whether a volume node shows one of the samples, be it made here or by SampleData.downloadSample.

    The latter leaves neither an attribute nor a storage node, but it gives the sample's name, with a number if need be.
    """
    named = any(str(node.GetName()).startswith(sample.name) for sample in SAMPLES)
    image = node.GetImageData()
    return bool(node.GetAttribute(SYNTHETIC)) or (named and image is not None and image.GetDimensions() == SIZE)


def _image(sample: Sample) -> Any:
    from AutofocusCore.phantom import make_phantom

    image, _ = make_phantom(sample.seed, size=SIZE, spacing=SPACING, dose=sample.dose)
    return image
