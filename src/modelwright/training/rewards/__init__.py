"""Rewards of answers: one file a kind, one signature for all (``reward.py``)."""
