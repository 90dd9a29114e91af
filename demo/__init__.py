"""A small town, rendered by the project itself, and two drives through it written as real bags."""
