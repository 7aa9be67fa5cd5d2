"""The figures of the data report: what is in an annotated corpus, and what became of it."""
