"""Readers of the formats of collections of places; see `recognise.open_place_set`."""
