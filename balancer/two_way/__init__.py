"""Balance in two PE maps at once."""
