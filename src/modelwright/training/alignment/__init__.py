"""Alignment: learning what is preferred, or rewarded."""
