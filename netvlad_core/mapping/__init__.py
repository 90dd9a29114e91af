"""From a drive to a map on disk: keyframes, the `PlaceMap`, its builder."""
