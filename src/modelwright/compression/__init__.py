"""Models made smaller: quantized with and without calibration, pruned, and measured."""
