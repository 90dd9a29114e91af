"""A rendered town: test data, training data and the demonstration's drives."""
