"""Losses of alignment: pure functions of log-probabilities, rewards and masks."""
