"""Numbers in texts."""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(
    r"""
    (?:(?<![\w).])[-+])?                        # behind a digit, '-' is a minus between two numbers
    (?:
        (?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])    # 1,234,567
           |[0-9]+
        )
        (?:\.[0-9]+)?
       |(?<![0-9])\.[0-9]+
    )
    (?:[eE][-+]?[0-9]{1,3}(?![0-9]))?
    """,
    re.VERBOSE,
)
_COMMA_IN_NUMBER = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_MINUS_SIGNS = str.maketrans("−‒–", "---")


def last_number(text: str) -> Decimal | None:
    """The last number in a text, or None if there is none.

    Digits may be grouped by commas; dashes that are set as a minus count as one. A full stop behind
    a number ends a sentence.

    Examples
    --------
    >>> last_number("5 * 3 makes 15, so he pays $1,215.50.")
    Decimal('1215.50')
    >>> last_number("25-759=−734")
    Decimal('-734')
    """
    found = _NUMBER.findall(text.translate(_MINUS_SIGNS))
    return Decimal(found[-1].replace(",", "")) if found else None


def without_commas(text: str) -> str:
    """Take out the commas between the digits of numbers.

    Examples
    --------
    >>> without_commas("1,234,567 of 1,2 or 12,3456")
    '1234567 of 1,2 or 12,3456'
    """
    return _COMMA_IN_NUMBER.sub("", text)
