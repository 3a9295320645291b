"""Two neighbouring layers jointly: weights count only on channels that both use."""
