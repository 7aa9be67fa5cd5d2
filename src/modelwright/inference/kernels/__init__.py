"""The whole forward pass on CPUs, compiled on the user's machine by Numba."""
