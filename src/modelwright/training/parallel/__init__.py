"""Several processes that train one model: who they are, who gets what, how gradients add up."""
