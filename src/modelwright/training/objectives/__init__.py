"""Objectives: (model, batch) → summed loss. Adding one is one file with one function."""
