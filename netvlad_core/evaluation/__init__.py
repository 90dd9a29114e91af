"""How good is it: recall and position error against ground truth, and pictures for people."""
