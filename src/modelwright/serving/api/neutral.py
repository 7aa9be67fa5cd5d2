"""Fields that are not honoured: accepted only with a value that asks for nothing."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator


def neutral(*allowed: Any) -> AfterValidator:
    """Accept only values that ask for nothing; ``null`` always is one."""

    def check(value: Any) -> Any:
        # The types count too: 0 is not False here.
        if value is None or any(value == one and type(value) is type(one) for one in allowed):
            return value
        shown = " or ".join(json.dumps(one) for one in (*allowed, None))
        raise ValueError(f"not supported by this server: only {shown} is accepted; leave it out")

    return AfterValidator(check)


Off = Annotated[Any, neutral(False)]
Empty = Annotated[Any, neutral([])]
Absent = Annotated[Any, neutral()]
