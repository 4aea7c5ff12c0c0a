"""Many patients with one model: on all processors, on a cluster, and after an interruption from where it stopped."""

from AutofocusCore.batch.cohort import Case, read_cohort
from AutofocusCore.batch.run import Batch, Summary, run_batch

__all__ = ["Batch", "Case", "Summary", "read_cohort", "run_batch"]
