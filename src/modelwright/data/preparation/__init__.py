"""Inside the prepare stage: what is dropped, what is written, how often."""
