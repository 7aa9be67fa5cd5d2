"""Callbacks: what happens after a step besides training, each in its file."""
