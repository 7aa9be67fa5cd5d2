"""Data: documents and examples, from where they are found to what training reads."""
