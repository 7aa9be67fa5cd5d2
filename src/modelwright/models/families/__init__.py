"""Families of models: how each writes its shape and names its tensors in a folder."""
