"""A balanced ticket: masks, what they keep and take, and what to say about them."""
