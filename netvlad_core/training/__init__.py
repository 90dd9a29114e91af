"""Learning descriptors from images that only have positions, or the label of their place."""
