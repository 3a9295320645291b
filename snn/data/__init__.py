"""Labelled images: reading them, splitting them, and batches of them.

`image_data` says what a data set is, `load` reads one by its name or path, and
`batches` feeds it to training.
"""
