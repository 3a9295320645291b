"""Train the network of a ticket again, with masks that were chosen for it."""
