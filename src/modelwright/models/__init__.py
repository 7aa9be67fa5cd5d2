"""Models: the transformer, and reading and writing Hugging Face folders. Nothing of training."""
