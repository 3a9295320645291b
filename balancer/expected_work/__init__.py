"""Loads that are expected work, for arrays that skip zero spikes."""
