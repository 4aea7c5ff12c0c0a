"""The worker process: computes for Slicer and for batches, so that a crash there is an error message here."""
