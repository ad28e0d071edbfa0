"""Weights as files: ours, the published layout, other people's, and the hub they come from."""
