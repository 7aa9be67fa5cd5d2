"""Modelwright builds a language model of your own and looks after it."""

__version__ = "0.1.0"
