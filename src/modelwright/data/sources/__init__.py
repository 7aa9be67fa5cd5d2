"""Where documents come from; each file here reads one kind of source."""
