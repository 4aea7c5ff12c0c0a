"""The whole review of one result: estimates, places to check, warnings, and the uncertainty map on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from AutofocusCore.errors import SettingError
from AutofocusCore.images.geometry import Grid
from AutofocusCore.images.resampling import sample, to_image
from AutofocusCore.review.calibration import Calibration
from AutofocusCore.review.cohort import listed, outside_the_scan, unfamiliar, unlike_any_volume
from AutofocusCore.review.evidence import Evidence, Floats, doubt_of, surroundings
from AutofocusCore.review.places import Place, in_order, places_of
from AutofocusCore.review.quality import Estimate, structure_evidence

if TYPE_CHECKING:
    import SimpleITK as sitk

NO_ESTIMATE = "No estimate"
NO_ESTIMATE_FOR_IT = "No estimate is given for it."


@dataclass(frozen=True)
class Assessment:
    """The review of a result.

    Attributes:
        estimates: by structure; None where there is no estimate.
        places: places to check, the largest first.
        warnings: sentences for the user.
        calibrated: whether the model has a calibration; without one, places come from the network's own probabilities.
    """

    estimates: dict[str, Estimate | None]
    places: tuple[Place, ...]
    warnings: tuple[str, ...]
    calibrated: bool

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Assessment:
        """The inverse of `dataclasses.asdict`; empty if no fields are given.

        Raises:
            SettingError: a field is not what `asdict` gives.
        """
        try:
            estimates = {
                str(name): None if one is None else Estimate(**one) for name, one in values.get("estimates", {}).items()
            }
            places = tuple(
                Place(**{**place, "position_mm": tuple(place["position_mm"])}) for place in values.get("places", ())
            )
            return cls(estimates, places, tuple(values.get("warnings", ())), bool(values.get("calibrated")))
        except (TypeError, KeyError, AttributeError) as error:
            raise SettingError(f"The review is malformed ({error})", "give that of a result") from None


def assess(
    evidence: Evidence, names: Sequence[str], calibration: Calibration | None, channels: Sequence[str] = ()
) -> Assessment:
    """Review a result.

    A structure that the region of interest cuts gets no estimate, nor does one whose volume is far outside that of the
    training cases. In a scan that is unlike those in training, no structure gets one.

    Args:
        evidence: of the run.
        names: of the structures, in the order of the classes.
        calibration: the model's; None where it has none.
        channels: names of the model's channels.
    """
    known = calibration or Calibration()
    found, hills = [], []
    for label, name in enumerate(names, start=1):  # one at a time: a structure's surroundings take memory
        near = surroundings(evidence, label, known.temperature)
        found.append(structure_evidence(name, near, evidence.grid, known.cohort))
        hills += [] if near is None else places_of(near, evidence.grid, name, label)
    cut = set()
    if evidence.outside is not None:
        cut = {name for label, name in enumerate(names, start=1) if evidence.is_cut(label)}
    estimates = {
        one.name: None if known.quality is None or one.name in cut else known.quality.estimate(one.name, one.features)
        for one in found
    }
    warnings: list[str] = []
    if known.cohort is not None:
        warnings += unfamiliar(evidence, known.cohort, channels)
        if warnings and any(estimates.values()):
            warnings.append(
                "Estimates of quality hold only for scans like those in training: none are given for this one."
            )
            estimates = dict.fromkeys(estimates)
        centres = {one.name: one.centre for one in found if one.centre is not None}
        outside, missed = outside_the_scan(names, centres, known.cohort, evidence)
        if outside:
            what = "its contour is" if len(outside) == 1 else "their contours are"
            warnings.append(
                f"Outside this scan, going by the other structures: {listed(outside)}; {what} not to be used."
            )
            estimates |= dict.fromkeys(outside)
        inside = {one.name: one.volume_ml for one in found if one.name not in cut and one.name not in outside}
        for name, sentence in unlike_any_volume(inside, known.cohort).items():
            warnings.append(sentence if estimates[name] is None else f"{sentence} {NO_ESTIMATE_FOR_IT}")
            estimates[name] = None
        if missed:
            warnings.append(f"Not found, although this scan should show it: {listed(missed)}.")
    return Assessment(estimates, tuple(in_order(hills)), tuple(warnings), calibration is not None)


def uncertainty_on_model_grid(evidence: Evidence, calibration: Calibration | None) -> Floats:
    """Entropy in bits of the calibrated probabilities, (D, H, W), on the evidence's grid."""
    temperature = 1.0 if calibration is None else calibration.temperature
    return doubt_of(evidence.probabilities, temperature)


def uncertainty_on_scan(evidence: Evidence, calibration: Calibration | None, scan: Grid | None = None) -> sitk.Image:
    """The uncertainty, as by `uncertainty_on_model_grid`, on the scan's grid; 0 outside the predicted region."""
    grid = scan or evidence.scan
    values = uncertainty_on_model_grid(evidence, calibration)
    return to_image(sample(to_image(values, evidence.grid), grid, 0.0, smooth=False), grid)
