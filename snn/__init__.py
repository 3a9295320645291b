"""Spiking networks in torch: what needs torch, and nothing that does not."""
