"""Files: atomic writing (temporary name, then rename), NRRD volumes, and the results of a run."""
