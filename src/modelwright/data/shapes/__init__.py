"""The shapes in which examples come, one file a kind, and the table of them."""
