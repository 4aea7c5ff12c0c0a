"""Fitting a model's calibration: runs kept on disk, the cohort's numbers, the fit and its cross-validation."""
