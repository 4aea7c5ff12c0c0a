"""The worker process, which computes for Slicer and for batches. If it crashes, its parent shows an error message."""
