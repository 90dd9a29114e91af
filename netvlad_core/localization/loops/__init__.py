"""Find the places that come back within one drive."""
