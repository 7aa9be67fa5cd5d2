"""Talking to a model in the terminal: the conversation, what can be done with it, how it looks."""
