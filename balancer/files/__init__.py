"""Reading and writing tickets: files of weights, masks and scores."""
