"""Comparing two answers blind."""
