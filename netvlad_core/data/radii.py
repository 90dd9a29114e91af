"""Distances in metres at which the NetVLAD paper tells one place from another."""

# Two images nearer than this show the same place.
POSITIVE_WITHIN = 10.0
# Two images farther apart than this show different places; in between they count as neither.
NEGATIVE_BEYOND = 25.0
# A retrieved image this near is a correct answer in Recall@N.
CORRECT_WITHIN = 25.0
