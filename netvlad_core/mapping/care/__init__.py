"""Care for maps: what is in one, and new maps made from others."""
