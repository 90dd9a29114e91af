"""A drive and its map as one HTML page that needs no network."""
