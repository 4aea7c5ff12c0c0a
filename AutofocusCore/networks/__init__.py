"""The networks: the ten of the paper's Table 3, the authors' released checkpoints, and networks of scale streams."""
