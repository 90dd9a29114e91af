"""Follow a drive through the map: the sequence filter."""
