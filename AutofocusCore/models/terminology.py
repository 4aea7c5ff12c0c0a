"""SNOMED CT codes and colours of the structures that the project's models segment.

Codes and meanings are those of 3D Slicer's terminology lists (SegmentationCategoryTypeModifier-DICOM-Master, after
DICOM PS3.16), so that Slicer recognises them. Slicer has no code for the parts of the hippocampus; they are coded as
hippocampus with the modifier Anterior or Posterior.
"""

from __future__ import annotations

from AutofocusCore.errors import ModelError
from AutofocusCore.models.parts import Code, Structure

ANATOMICAL_STRUCTURE = Code("SCT", "123037004", "Anatomical Structure")

LEFT = Code("SCT", "7771000", "Left")
RIGHT = Code("SCT", "24028007", "Right")
RIGHT_AND_LEFT = Code("SCT", "51440002", "Right and left")
ANTERIOR = Code("SCT", "255549009", "Anterior")
POSTERIOR = Code("SCT", "255551008", "Posterior")

PROSTATE = Code("SCT", "41216001", "Prostate")
SEMINAL_VESICLE = Code("SCT", "64739004", "Seminal Vesicle")
BLADDER = Code("SCT", "89837001", "Bladder")
RECTUM = Code("SCT", "34402009", "Rectum")
FEMUR = Code("SCT", "71341001", "Femur")
HIPPOCAMPUS = Code("SCT", "5366008", "Hippocampus")
BRAIN_STEM = Code("SCT", "119238007", "Brain stem")
SPINAL_CORD = Code("SCT", "2748008", "Spinal cord")
PAROTID_GLAND = Code("SCT", "45289007", "Parotid gland")
ESOPHAGUS = Code("SCT", "32849002", "Esophagus")
LARYNX = Code("SCT", "4596009", "Larynx")
MANDIBLE = Code("SCT", "91609006", "Mandible")

# name: (red, green, blue), type, modifier. The colours are Slicer's, except where neighbours would look alike (prostate
# and seminal vesicles).
KNOWN: dict[str, tuple[tuple[int, int, int], Code, Code | None]] = {
    "Prostate": ((230, 158, 140), PROSTATE, None),
    "Seminal vesicles": ((190, 95, 190), SEMINAL_VESICLE, RIGHT_AND_LEFT),
    "Bladder": ((250, 210, 60), BLADDER, None),
    "Rectum": ((150, 110, 70), RECTUM, None),
    "Left femur": ((120, 205, 210), FEMUR, LEFT),
    "Right femur": ((80, 140, 220), FEMUR, RIGHT),
    "Anterior hippocampus": ((240, 140, 60), HIPPOCAMPUS, ANTERIOR),
    "Posterior hippocampus": ((70, 160, 200), HIPPOCAMPUS, POSTERIOR),
    "Brain stem": ((145, 92, 109), BRAIN_STEM, None),
    "Spinal cord": ((244, 214, 49), SPINAL_CORD, None),
    "Right parotid gland": ((230, 120, 120), PAROTID_GLAND, RIGHT),
    "Left parotid gland": ((200, 90, 140), PAROTID_GLAND, LEFT),
    "Esophagus": ((211, 171, 143), ESOPHAGUS, None),
    "Larynx": ((150, 208, 243), LARYNX, None),
    "Mandible": ((222, 198, 101), MANDIBLE, None),
}


def structure(name: str, label: int) -> Structure:
    """One of the known structures with a label value.

    Raises:
        ModelError: the name is unknown; the message lists the known ones.
    """
    if name not in KNOWN:
        raise ModelError(f"There are no codes for a structure {name!r}", f"use one of {', '.join(KNOWN)}")
    color, kind, modifier = KNOWN[name]
    return Structure(label, name, color, ANATOMICAL_STRUCTURE, kind, modifier)


def structures(*names: str) -> tuple[Structure, ...]:
    """Known structures, labelled 1, 2, 3, ... in the given order."""
    return tuple(structure(name, label) for label, name in enumerate(names, start=1))
