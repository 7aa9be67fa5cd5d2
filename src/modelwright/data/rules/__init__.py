"""Rules of quality: Gopher, C4, FineWeb, RefinedWeb and Curator as columns of scores."""
