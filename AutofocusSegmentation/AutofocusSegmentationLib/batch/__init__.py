"""Batches inside Slicer: the cases of a cohort, and a scene file for each."""
