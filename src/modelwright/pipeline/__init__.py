"""From a recipe to artifacts: which stages there are, what is stale, running them, lineage."""
