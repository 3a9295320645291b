"""Networks in the formats of others: torch checkpoints, NIR."""
