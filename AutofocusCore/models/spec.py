"""A model's description: inputs, outputs, preprocessing, training data and measured accuracy.

A `ModelSpec` is written to and read from `configs/metadata.json` of a MONAI bundle: fields of MONAI's
schema under MONAI's names, the rest under "autofocus".
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from AutofocusCore.errors import ModelError
from AutofocusCore.io.texts import is_number
from AutofocusCore.models.parts import (
    DEVICE_NAMES,
    Channel,
    Code,
    Normalization,
    Structure,
    from_mapping,
    is_text,
    require,
)

__all__ = ["FORMAT", "METADATA_SCHEMA", "Channel", "Code", "ModelSpec", "Normalization", "Structure"]

FORMAT = 1
"""Version of the "autofocus" part of metadata.json; newer versions are refused."""

METADATA_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
MADE_WITH = {"monai": "1.6.1", "pytorch": "2.13.0", "numpy": "2.4.6", "safetensors": "0.8.0"}
"""Versions that bundles are tested with. Constants, so that the same model is the same bytes on every machine."""

LONGEST_TEXT = 20_000
ROI_MASKS = {"none": "all", "body": "body", "brain": "nonzero"}
"""Regions of interest, and the mask of the normalisation that finds each."""

AXIS_OF = {letter: axis for axis in ("RL", "AP", "SI") for letter in axis}
SAFE_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
RESEARCH_ONLY = "Research only. Not for clinical use: no diagnosis and no treatment may rest on its output."


@dataclass(frozen=True)
class ModelSpec:
    """Description of one model.

    Args:
        name: short name for the command line and folder name: lower-case letters, digits, "-", "_", ".".
        title, description: for people.
        version: "1.0.0".
        channels: inputs, in the network's order.
        structures: classes 1 ... n of the output, in order; class 0 is the background.
        normalization: how intensities become input.
        architecture: keyword arguments of `AutofocusCore.build_network`, "architecture" among them.
        licence: SPDX expression of the weights' licence, such as "MIT".
        training_data: data it was trained on: source, number of cases, licence.
        synthetic: whether it was trained on made-up images; it is then labelled so wherever it appears.
        spacing: voxel size (x, y, z) in mm that the network expects; None keeps the input's.
        orientation: where the x, y and z indices grow to, "RAS" for right, anterior, superior.
        roi: where a network of the ROI domain computes: in the "body", in the "brain" (voxels other than 0), or, with
            "none", in all of the scan.
        dice: mean Dice on cases not trained on, by structure name.
        figures: further results, any JSON; "cases" may hold a list of {"case": ..., structure: Dice, ...}.
        calibration: numbers that turn probabilities into estimates of quality; see `AutofocusCore.review`.
        training_command: the command that trains it again.
        intended_use, authors, references, changelog: as in any model card.

    Raises:
        ModelError: a field makes no sense alone or beside the others.
    """

    name: str
    title: str
    description: str
    version: str
    channels: tuple[Channel, ...]
    structures: tuple[Structure, ...]
    normalization: Normalization
    architecture: dict[str, Any] = field(hash=False)
    licence: str
    training_data: str
    synthetic: bool
    spacing: tuple[float, float, float] | None = None
    orientation: str = "RAS"
    roi: str = "none"
    dice: dict[str, float] = field(default_factory=dict, hash=False)
    figures: dict[str, Any] = field(default_factory=dict, hash=False)
    calibration: dict[str, Any] = field(default_factory=dict, hash=False)
    training_command: str = ""
    intended_use: str = RESEARCH_ONLY
    authors: tuple[str, ...] = ("AutofocusSegmentation contributors",)
    references: tuple[str, ...] = ()
    changelog: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def num_classes(self) -> int:
        """Classes of the output, background included."""
        return len(self.structures) + 1

    @property
    def connected(self) -> tuple[int, ...]:
        """Labels of the structures that are one connected piece."""
        return tuple(structure.label for structure in self.structures if structure.connected)

    def __post_init__(self) -> None:
        fits = isinstance(self.name, str) and bool(SAFE_NAME.fullmatch(self.name))
        fits = fits and ".." not in self.name and not DEVICE_NAMES.fullmatch(self.name)
        require(fits, "name", self.name, "use up to 64 lower-case letters and digits, with '-', '_', '.' between")
        for text in ("title", "description", "licence", "training_data", "intended_use"):
            require(is_text(getattr(self, text)), text, getattr(self, text), "write a text")
            require(len(getattr(self, text)) <= LONGEST_TEXT, text, getattr(self, text), "write less")
        require(isinstance(self.training_command, str), "training_command", self.training_command, "write a text")
        fits = isinstance(self.version, str) and bool(re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}\S{0,16}", self.version))
        require(fits, "version", self.version, "use three numbers such as '1.0.0'")
        require(isinstance(self.synthetic, bool), "synthetic", self.synthetic, "use true or false")
        fits = isinstance(self.normalization, Normalization)
        require(fits, "normalization", self.normalization, "give a Normalization")
        self._check_lists()
        self._check_grid()
        self._check_architecture()
        self._check_figures()

    def _check_lists(self) -> None:
        for name, kind in (("channels", Channel), ("structures", Structure), ("authors", str), ("references", str)):
            value = getattr(self, name)
            fits = isinstance(value, (list, tuple)) and all(isinstance(v, kind) for v in value)
            require(fits, name, value, f"give a list of {kind.__name__}")
            object.__setattr__(self, name, tuple(value))
        for name in ("channels", "structures", "authors"):
            require(len(getattr(self, name)) > 0, name, (), "give at least one")
        labels = [s.label for s in self.structures]
        remedy = "number them 1, 2, 3, ... in the order of the network's classes"
        require(labels == list(range(1, len(labels) + 1)), "structure labels", labels, remedy)
        for what, items in (("structure", self.structures), ("channel", self.channels)):
            names = [item.name for item in items]
            require(len({n.casefold() for n in names}) == len(names), f"{what} names", names, "make each different")

    def _check_grid(self) -> None:
        if self.spacing is not None:
            fits = isinstance(self.spacing, (list, tuple)) and len(self.spacing) == 3
            fits = fits and all(is_number(s) and 0.01 <= s <= 100 for s in self.spacing)
            require(fits, "spacing", self.spacing, "give the voxel size x, y, z in mm, or none to keep the image's")
            object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        fits = sorted(AXIS_OF.get(letter, letter) for letter in str(self.orientation)) == ["AP", "RL", "SI"]
        require(fits, "orientation", self.orientation, "use three letters such as 'RAS' or 'LPS', one for each axis")

    def _check_architecture(self) -> None:
        options = self.architecture
        fits = isinstance(options, Mapping) and is_text(options.get("architecture"))
        require(fits, "architecture", options, "give the options of build_network, 'architecture' among them")
        object.__setattr__(self, "architecture", _json_copy(dict(options), "architecture"))
        for option, wanted, what in (
            ("in_channels", len(self.channels), "channel"),
            ("num_classes", self.num_classes, "structure, and one for the background"),
        ):
            value = options.get(option)
            require(value == wanted, option, value, f"make it {wanted}: one for each {what}")
        require(self.roi in ROI_MASKS, "roi", self.roi, f"choose one of {', '.join(ROI_MASKS)}")
        if self.roi != "none":
            in_roi_domain = options.get("domain") == "roi"
            require(in_roi_domain, "roi", self.roi, "make the architecture's domain 'roi', or this 'none'")
            mask = ROI_MASKS[self.roi]
            fits = self.normalization.mask == mask
            require(fits, "roi", self.roi, f"make the normalization's mask {mask!r}, or this 'none'")

    def _check_figures(self) -> None:
        for name in ("dice", "figures", "calibration", "changelog"):
            value = getattr(self, name)
            require(isinstance(value, Mapping), name, value, "give an object with names and values")
            object.__setattr__(self, name, _json_copy(dict(value), name))
        known = {s.name for s in self.structures}
        for name, value in self.dice.items():
            require(name in known, "dice", name, f"use the names of the structures: {', '.join(sorted(known))}")
            require(is_number(value) and 0 <= value <= 1, f"dice of {name}", value, "use a number from 0 to 1")

    def to_metadata(self) -> dict[str, Any]:
        """The content of configs/metadata.json."""
        modality = "/".join(dict.fromkeys(c.modality for c in self.channels))
        patch: dict[str, Any] = {"spatial_shape": ["*", "*", "*"], "dtype": "float32", "is_patch_data": True}
        unit = "hounsfield" if modality == "CT" else "magnitude"
        image = {"type": "image", "format": unit, "modality": modality, "num_channels": len(self.channels), **patch}
        image["value_range"] = [0, 1] if self.normalization.method == "window" else []
        image["channel_def"] = {str(i): c.name for i, c in enumerate(self.channels)}
        pred = {"type": "image", "format": "segmentation", "num_channels": self.num_classes, **patch}
        pred["value_range"] = []
        pred["channel_def"] = {"0": "background", **{str(s.label): s.name for s in self.structures}}
        own = dataclasses.asdict(self)
        for name in ("description", "version", "training_data", "intended_use", "authors", "references", "changelog"):
            del own[name]
        own["structures"] = [structure.to_dict() for structure in self.structures]
        # A round trip through JSON turns tuples into lists, so that what is written equals what is read back.
        return _json_copy(
            {
                "schema": METADATA_SCHEMA,
                "version": self.version,
                "changelog": {self.version: "First version", **self.changelog},
                "monai_version": MADE_WITH["monai"],
                "pytorch_version": MADE_WITH["pytorch"],
                "numpy_version": MADE_WITH["numpy"],
                "required_packages_version": {"safetensors": MADE_WITH["safetensors"]},
                "name": self.title,
                "task": f"Segmentation of {', '.join(s.name for s in self.structures)} in {modality}",
                "description": self.description,
                "authors": ", ".join(self.authors),
                "copyright": f"Copyright (c) {', '.join(self.authors)}; licence {self.licence}",
                "data_source": self.training_data,
                "image_classes": ", ".join(f"{i}: {c.name} ({c.modality})" for i, c in enumerate(self.channels)),
                "label_classes": ", ".join(["0: background", *(f"{s.label}: {s.name}" for s in self.structures)]),
                "eval_metrics": {f"mean_dice_{_slug(name)}": value for name, value in self.dice.items()},
                "intended_use": self.intended_use,
                "references": list(self.references),
                "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
                "autofocus": {"format": FORMAT, **own, "authors": list(self.authors), "changelog": self.changelog},
            },
            "metadata",
        )

    @classmethod
    def from_metadata(cls, metadata: object) -> ModelSpec:
        """Read the description back; fields that this version does not know are ignored.

        Raises:
            ModelError: not the metadata of such a model, newer than this version understands, or a field is wrong.
        """
        require(isinstance(metadata, Mapping), "metadata.json", metadata, "it must hold a JSON object")
        assert isinstance(metadata, Mapping)
        own = metadata.get("autofocus")
        if not isinstance(own, Mapping):
            raise ModelError(
                "The bundle's metadata.json has no 'autofocus' part, so this is not a model of AutofocusSegmentation",
                "other MONAI bundles cannot be used here",
            )
        version: Any = own.get("format")
        version_fits = isinstance(version, int) and not isinstance(version, bool) and version >= 1
        require(version_fits, "format", version, f"it must be a whole number from 1 to {FORMAT}")
        if version > FORMAT:
            raise ModelError(
                f"The model is of format {version}, newer than {FORMAT}, the newest that this version can read",
                "update AutofocusSegmentation",
            )
        shared = {"training_data": metadata.get("data_source")}
        for name in ("description", "version", "intended_use", "references"):
            if name in metadata:
                shared[name] = metadata[name]
        fields: dict[str, Any] = {**own, **shared}
        for name, kind in (("channels", Channel), ("structures", Structure)):
            require(isinstance(fields.get(name), list), name, fields.get(name), "give a list")
            fields[name] = tuple(from_mapping(kind, item, f"{name}[{i}]") for i, item in enumerate(fields[name]))
        fields["normalization"] = from_mapping(Normalization, fields.get("normalization"), "normalization")
        return from_mapping(cls, fields, "metadata")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _json_copy(value: Any, name: str) -> Any:
    """A deep copy that JSON can hold without loss of meaning, tuples as lists."""
    try:
        return copy.deepcopy(json.loads(json.dumps(value, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"The model's {name} cannot be written as JSON ({error})", "use text, finite numbers, lists and objects"
        ) from None
