"""From raw bytes to text: one module a format."""
