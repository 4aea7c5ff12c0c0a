"""Jobs: a request for one case, its plan before the run, the run itself, and the measurements of its result."""
