"""PE maps: which lock-step group and PE each weight belongs to."""
