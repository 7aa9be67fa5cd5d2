"""Inside the annotate stage: scores, parts made in parallel, and their merge."""
