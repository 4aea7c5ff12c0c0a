"""The parts of a model's description: codes, structures, channels, normalisation.

Each is an immutable dataclass that refuses invalid values. Lists from JSON or TOML become tuples, and unknown keys are
ignored, so that newer models can be read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from AutofocusCore.errors import InputError, ModelError
from AutofocusCore.io.texts import is_number

Part = TypeVar("Part")

DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""File names that Windows forbids."""
MAIN_SHARE, NEAR_MM = 0.2, 10.0
"""Parts of a connected structure with this share of the largest part, or within this distance of it, are kept."""
LEAST_SHARE = 0.01
"""Parts with a smaller share of the largest are always removed."""
NORMALIZATION_METHODS = ("z-score", "window")
NORMALIZATION_MASKS = ("all", "body", "nonzero")


def require(holds: bool, field: str, value: object, remedy: str) -> None:
    """Raise a ModelError with the field, its value and the remedy, unless the condition holds."""
    if not holds:
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        raise ModelError(f"The model's {field} is {shown}", remedy)


def is_text(value: object) -> bool:
    """Whether the value is a string that is not empty."""
    return isinstance(value, str) and bool(value.strip())


def from_mapping(cls: type[Part], value: object, field: str) -> Part:
    """Build a part from a JSON object; unknown keys are ignored, a missing one is a ModelError."""
    require(isinstance(value, Mapping), field, value, "give an object with named fields")
    assert isinstance(value, Mapping)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name, known_field in known.items():
        optional = (
            known_field.default is not dataclasses.MISSING or known_field.default_factory is not dataclasses.MISSING
        )
        require(optional or name in value, f"{field} field {name!r}", None, f"add {name!r}, it cannot be left out")
    return cls(**{name: value[name] for name in known if name in value})


@dataclass(frozen=True)
class Code:
    """One coded concept, as in DICOM: scheme "SCT", value "41216001", meaning "Prostate"."""

    scheme: str
    value: str
    meaning: str

    def __post_init__(self) -> None:
        scheme_fits = isinstance(self.scheme, str) and bool(re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", self.scheme))
        require(scheme_fits, "code scheme", self.scheme, "use a coding scheme designator of DICOM such as 'SCT'")
        value_fits = isinstance(self.value, str) and bool(re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", self.value))
        require(value_fits, "code value", self.value, "write it as a string such as '41216001'")
        # Slicer separates the fields of terminology entries by ~ and ^, so meanings must not contain them.
        meaning_fits = is_text(self.meaning) and len(self.meaning) <= 64 and not set(self.meaning) & set("~^|\n\r")
        require(meaning_fits, "code meaning", self.meaning, "use up to 64 characters without ~, ^ and |")
        if self.scheme == "SCT":
            remedy = "a SNOMED CT identifier has 6 to 18 digits"
            require(bool(re.fullmatch(r"[1-9][0-9]{5,17}", self.value)), "SNOMED CT code", self.value, remedy)


@dataclass(frozen=True)
class Structure:
    """One class of the network's output: its name, colour and codes.

    Args:
        label: value in the labelmap and index of the class; 0 is the background, which is not listed.
        name: segment name shown to users.
        color: red, green, blue, 0 to 255.
        category, type, modifier: DICOM's segmented property, for example Anatomical Structure, Femur, Left.
        region, region_modifier: anatomic region, for types without a fixed position, such as a lesion.
        connected: whether the structure is one connected piece; then parts far from the largest
            are removed, as `AutofocusCore.images.labelling.keep_main_parts` says.
    """

    label: int
    name: str
    color: tuple[int, int, int]
    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None
    connected: bool = False

    def __post_init__(self) -> None:
        label_fits = isinstance(self.label, int) and not isinstance(self.label, bool) and 1 <= self.label <= 255
        require(label_fits, "structure label", self.label, "use a whole number from 1 to 255")
        name_fits = is_text(self.name) and len(self.name) <= 64 and self.name.isprintable()
        require(name_fits, "structure name", self.name, "use 1 to 64 printable characters")
        color_fits = (
            isinstance(self.color, (list, tuple))
            and len(self.color) == 3
            and all(isinstance(c, int) and not isinstance(c, bool) and 0 <= c <= 255 for c in self.color)
        )
        require(color_fits, f"color of {self.name}", self.color, "give red, green and blue as whole numbers, 0 to 255")
        object.__setattr__(self, "color", tuple(self.color))
        for field in ("category", "type", "modifier", "region", "region_modifier"):
            code = getattr(self, field)
            if not isinstance(code, Code) and (code is not None or field in ("category", "type")):
                object.__setattr__(self, field, from_mapping(Code, code, f"{field} of {self.name}"))
        require(isinstance(self.connected, bool), f"connected of {self.name}", self.connected, "use true or false")

    def to_dict(self) -> dict[str, Any]:
        """All fields for JSON; `connected` only if it is true, as in older models."""
        values = dataclasses.asdict(self)
        if not self.connected:
            del values["connected"]
        return values


@dataclass(frozen=True)
class Channel:
    """One input of the network.

    Args:
        name: name for users: "CT", "FLAIR".
        modality: DICOM modality, "CT", "MR", "PT", ...
        patterns: glob patterns of file and node names, case-insensitive: ("*flair*",).
    """

    name: str
    modality: str
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name_fits = is_text(self.name) and len(self.name) <= 64 and self.name.isprintable()
        require(name_fits, "channel name", self.name, "use 1 to 64 printable characters")
        modality_fits = isinstance(self.modality, str) and bool(re.fullmatch(r"[A-Z]{2,16}", self.modality))
        require(modality_fits, f"modality of {self.name}", self.modality, "use DICOM's: 'CT', 'MR', 'PT', ...")
        patterns_fit = isinstance(self.patterns, (list, tuple)) and len(self.patterns) <= 100
        patterns_fit = patterns_fit and all(is_text(p) and len(p) <= 100 and p.isprintable() for p in self.patterns)
        remedy = "give a list of up to 100 patterns, each of up to 100 characters, such as ['*flair*']"
        require(patterns_fit, f"patterns of {self.name}", self.patterns, remedy)
        object.__setattr__(self, "patterns", tuple(self.patterns))


class OfChannels(Protocol):
    """A description of a model, as far as `check_count` needs it."""

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> tuple[Channel, ...]: ...


def check_count(given: int, spec: OfChannels) -> None:
    """Refuse another number of images than the model has channels.

    Raises:
        InputError: too few or too many.
    """
    wanted = len(spec.channels)
    if given != wanted:
        raise InputError(
            f"Model {spec.name} expects {wanted} image{'s' * (wanted > 1)} "
            f"({', '.join(channel.name for channel in spec.channels)}), "
            f"but {given} {'was' if given == 1 else 'were'} given",
            "give one image for each channel, in this order" if wanted > 1 else "give one image alone",
        )


@dataclass(frozen=True)
class Normalization:
    """How intensities become network input, separately for each channel.

    "z-score" subtracts the mean and divides by the standard deviation of the voxels in the mask. As in DeepMedic, the
    statistics leave out first the voxels outside the percentiles, then those further from the mean than sigmas.
    "window" clips to the window and maps it to 0 ... 1.

    Args:
        method: "z-score" or "window".
        mask: voxels for the statistics: "all", "body" (found in the image) or "nonzero".
        percentiles: (lower, upper), 0 to 100, or None.
        sigmas: (below, above) in standard deviations, both positive, or None.
        window: (lower, upper) in the image's units; for "window" only.
    """

    method: str = "z-score"
    mask: str = "all"
    percentiles: tuple[float, float] | None = None
    sigmas: tuple[float, float] | None = None
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require(self.method in NORMALIZATION_METHODS, "normalization method", self.method, "use 'z-score' or 'window'")
        require(self.mask in NORMALIZATION_MASKS, "normalization mask", self.mask, "use 'all', 'body' or 'nonzero'")
        for field in ("percentiles", "sigmas", "window"):
            value = getattr(self, field)
            if value is not None:
                fits = isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(v) for v in value)
                require(fits, f"normalization {field}", value, "give two numbers, the lower and the upper")
                object.__setattr__(self, field, (float(value[0]), float(value[1])))
        if self.percentiles is not None:
            low, high = self.percentiles
            fits = 0 <= low < high <= 100
            require(fits, "normalization percentiles", self.percentiles, "use 0 <= lower < upper <= 100")
        if self.sigmas is not None:
            require(min(self.sigmas) > 0, "normalization sigmas", self.sigmas, "use two positive numbers")
        if self.method == "window":
            fits = self.window is not None and self.window[0] < self.window[1]
            require(fits, "normalization window", self.window, "give (lower, upper) for the method 'window'")
            unused = (self.percentiles, self.sigmas)
            require(unused == (None, None), "normalization cut-offs", unused, "leave them out for the method 'window'")
        else:
            fits = self.window is None
            require(fits, "normalization window", self.window, "leave it out, or use the method 'window'")
