"""Evaluation against ground truth: recall, states, position errors, thresholds, pictures of mistakes."""
