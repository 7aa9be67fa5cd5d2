"""Finding and redacting personal data and secrets by shape, context and checksum."""
