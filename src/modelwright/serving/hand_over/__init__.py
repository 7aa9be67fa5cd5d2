"""Other engines behind our server: their process, and what is asked of it."""
