"""Near-duplicate documents: MinHash signatures, an index of their bands on disk, clusters."""
