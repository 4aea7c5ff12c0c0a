"""Segmentation of many cases with one model, in several processes or on a cluster; resumable."""

from AutofocusCore.batch.cohort import Case, read_cohort
from AutofocusCore.batch.run import Batch, Summary, run_batch

__all__ = ["Batch", "Case", "Summary", "read_cohort", "run_batch"]
