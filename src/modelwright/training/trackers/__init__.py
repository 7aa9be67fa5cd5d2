"""Experiment trackers: rows of the training log in TensorBoard, MLflow, W&B or Trackio."""
