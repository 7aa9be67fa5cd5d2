"""Experiments that train several models to answer a question about the data."""
