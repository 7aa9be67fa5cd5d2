"""Learning from rewards of the model's own answers."""
