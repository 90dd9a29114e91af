"""Readers of the formats in which collections of places exist; see `recognise.open_place_set`."""
