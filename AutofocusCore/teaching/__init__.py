"""Learning: what training from the start and `autofocus teach` share, and teaching a finished model new contours."""
