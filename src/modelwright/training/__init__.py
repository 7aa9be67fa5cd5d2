"""Training: one loop, objectives, optimizers, schedules, checkpoints, budgets, the dial."""
