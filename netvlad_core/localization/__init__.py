"""From an image to places and a pose: retrieval, then the pose prior, joined in `Localizer`."""
