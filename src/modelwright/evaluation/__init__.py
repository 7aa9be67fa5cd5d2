"""Evaluation: how well a model predicts text it has not seen, and how well it answers."""
