"""Review of a result: quality estimates per structure, places to check, and whether the scan is like those in training.

All of it comes from the network's probabilities and from a few numbers in the model's description (`Calibration`),
fitted by `Training/calibrate.py` on cases that the model was not trained on.
"""

from AutofocusCore.review.assessment import Assessment, assess
from AutofocusCore.review.calibration import Calibration, calibration_of
from AutofocusCore.review.evidence import Evidence
from AutofocusCore.review.places import Place
from AutofocusCore.review.quality import Estimate

__all__ = ["Assessment", "Calibration", "Estimate", "Evidence", "Place", "assess", "calibration_of"]
