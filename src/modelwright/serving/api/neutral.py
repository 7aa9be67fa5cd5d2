"""Fields that are not honoured: accepted only with a value that asks for nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Neutral:
    """Accept only values that ask for nothing, and say so in the API's description.

    Attributes
    ----------
    allowed : tuple
        These values; ``null`` always is one.
    """

    allowed: tuple[Any, ...] = ()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": [*self.allowed, None], "description": "not supported by this server"}

    def _check(self, value: Any) -> Any:
        # The types count too: 0 is not False here.
        if value is None or any(value == one and type(value) is type(one) for one in self.allowed):
            return value
        shown = " or ".join(json.dumps(one) for one in (*self.allowed, None))
        raise ValueError(f"not supported by this server: only {shown} is accepted; leave it out")


def neutral(*allowed: Any) -> Neutral:
    """Accept only these values, and ``null``."""
    return Neutral(allowed)


Off = Annotated[Any, neutral(False)]
Empty = Annotated[Any, Neutral(([],))]
Absent = Annotated[Any, neutral()]
