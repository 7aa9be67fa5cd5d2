"""What conversations are made of, in examples and in requests."""

from __future__ import annotations

ROLES = ("system", "user", "assistant")
"""Who can speak."""
