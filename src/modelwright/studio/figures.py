"""Figures as people read them: counts, sizes, times, with their units."""

from __future__ import annotations

_COUNT_UNITS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
_SHORT_COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTE_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def exact(value: float) -> str:
    """A number with its thousands set apart: ``12,345``, ``0.8125``."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def count(value: float) -> str:
    """A count in words: ``3.1 million``, ``12,345``."""
    for size, name in _COUNT_UNITS:
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """A count for an axis: ``2.5M``, ``800k``."""
    for size, name in _SHORT_COUNT_UNITS:
        if abs(value) >= size:
            return f"{value / size:.4g}{name}"
    return f"{value:.4g}"


def size(value: float) -> str:
    """A size in bytes: ``12.3 MB``."""
    for unit, name in _BYTE_UNITS:
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:,.0f} bytes"


def duration(seconds: float) -> str:
    """A time in words: ``0.4 s``, ``42 s``, ``4 min 32 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """A time for an axis: ``45 s``, ``1:30``, ``2:05:00``."""
    if seconds < 60:
        return f"{seconds:.4g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def percent(share: float) -> str:
    """A share in percent: ``83.5 %``."""
    return f"{100 * share:.1f} %"


def words(name: str) -> str:
    """A key as people say it: ``documents_out`` becomes ``documents out``."""
    return name.replace("_", " ")
