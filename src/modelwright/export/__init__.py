"""Exports of a model for other engines, and the gate that each has to pass."""
