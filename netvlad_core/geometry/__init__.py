"""Two images compared by local features: the same scene or not, and where its points are."""
