"""Files: written aside and then renamed, NRRD volumes, and the results of a run."""
