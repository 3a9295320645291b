"""Spiking networks, and what any network shows when it runs: sizes, rates, spikes."""
