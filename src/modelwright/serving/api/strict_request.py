"""What all bodies of requests have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

TOGETHER = "together"
"""Type of the errors of fields that do not go together."""


def _whole_characters(text: str) -> str:
    """Refuse halves of surrogate pairs, which JSON can escape and UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"not Unicode: half a character at position {error.start}") from None
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]


class StrictRequest(BaseModel):
    """A body, or a part of one, in which nothing is unknown and nothing is converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def together_error(field: str, reason: str) -> PydanticCustomError:
    """What validators of a whole body raise, so that the error names the field to change."""
    return PydanticCustomError(TOGETHER, "{reason}", {"reason": reason, "field": field})
