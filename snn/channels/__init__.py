"""Which tensors of a network count the same channels: what `apply_order` permutes."""
