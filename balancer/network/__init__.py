"""Many layers at once, each under its own budget or all under shared ones."""
