"""Training with masks that stay, in one process or several, to the same bits."""
