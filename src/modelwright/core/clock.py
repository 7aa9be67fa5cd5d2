"""The time as it is written into manifests and the database."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond: small stages take less than a second."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
