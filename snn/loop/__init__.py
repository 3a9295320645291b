"""Rounds of the lottery around a training loop of the user's own."""
