"""The four kinds of feedback: a thumb, a rating, a correction, a choice between two answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from modelwright.core.clock import now
from modelwright.core.conversation import ROLES
from modelwright.core.errors import UsageError
from modelwright.core.files import sha256_json
from modelwright.data.decoding import replace_surrogates

MOST_NAME_CHARACTERS = 200
ID_DIGITS = 32

Source = Literal["chat", "compare", "import"]
"""Where feedback came from: the chat page, the page that compares answers, or a file."""


def _whole_characters(text: str) -> str:
    if replace_surrogates(text)[1]:
        raise ValueError("holds half of a surrogate pair, which is no character")
    return text


def _one_line(text: str) -> str:
    if len(text) > MOST_NAME_CHARACTERS or not text.isprintable():
        raise ValueError(f"must be one line of at most {MOST_NAME_CHARACTERS} characters")
    return text.strip()


def _without_nul(text: str) -> str:
    if "\0" in text:  # PostgreSQL has no text with one
        raise ValueError("holds a NUL character")
    return text


def _in_utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no time in ISO 8601, as 2026-11-30T12:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ValueError("has no time zone; add +00:00 if it is UTC")
    try:
        return moment.astimezone(UTC).isoformat(timespec="milliseconds")
    except OverflowError:
        raise ValueError("is not between the years 1 and 9999 in UTC") from None


def _known_role(role: str) -> str:
    if role not in ROLES:
        raise ValueError(f"is '{role}', not one of {', '.join(ROLES)}")
    return role


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
FilledText = Annotated[Text, AfterValidator(_not_blank)]
Name = Annotated[Text, AfterValidator(_one_line)]
Comment = Annotated[Text, AfterValidator(_without_nul)]
Time = Annotated[str, AfterValidator(_in_utc)]
Side = Annotated[int, Field(ge=0, le=1)]


class Record(BaseModel):
    """Fields are checked as they are: nothing is converted, nothing unknown is let through."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


class Message(Record):
    """One message of the conversation that was answered."""

    role: Annotated[str, AfterValidator(_known_role)]
    content: FilledText


def _as_messages(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _asks_something(messages: list[Message]) -> list[Message]:
    if messages[-1].role in ("system", "assistant"):
        raise ValueError(f"ends with a message of the {messages[-1].role}: nothing to answer")
    return messages


Prompt = Annotated[
    list[Message],
    Field(min_length=1),
    BeforeValidator(_as_messages),
    AfterValidator(_asks_something),
]
"""Messages up to the one that is answered; a text is a message of the user."""


class Answer(Record):
    """What a model said.

    Attributes
    ----------
    text : str
        Empty if it said nothing.
    model : str
        Id of its artifact, or its name; empty if it is not known.
    """

    text: Text
    model: Name = ""


class _About(Record):
    """What all kinds of feedback have.

    Attributes
    ----------
    prompt : list of Message
        What was answered.
    person : str
        Who gave it; may be empty.
    created : str
        When, in UTC (ISO 8601).
    source : {"chat", "compare", "import"}
        Where.
    comment : str
        Why, in the person's own words; may be empty.
    request : str
        Id of the request that was answered (``X-Request-Id``), which the request log has; may be
        empty.
    """

    prompt: Prompt
    person: Name = ""
    created: Time = Field(default_factory=now)
    source: Source = "import"
    comment: Comment = ""
    request: Name = ""


class Thumb(_About):
    """An answer was found good (up) or bad (down)."""

    kind: Literal["thumb"] = "thumb"
    answer: Answer
    up: bool


class Rating(_About):
    """An answer got a number on a scale from ``low`` (worst) to ``high`` (best)."""

    kind: Literal["rating"] = "rating"
    answer: Answer
    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _is_on_scale(self) -> Rating:
        if not self.low < self.high:
            raise ValueError(f"the scale ends at {self.high:g}, where it begins or before")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value:g} is not between {self.low:g} and {self.high:g}")
        return self

    @property
    def share(self) -> float:
        """Where on its scale the rating is: 0 the worst, 1 the best."""
        return (self.value - self.low) / (self.high - self.low)


class Correction(_About):
    """A person wrote a better answer."""

    kind: Literal["correction"] = "correction"
    answer: Answer
    better: FilledText


class Choice(_About):
    """Of two answers one was found better.

    Attributes
    ----------
    answers : list of Answer
        Two, in any order.
    winner : {0, 1} or None
        Which of them; None for a tie.
    left : {0, 1} or None
        Which of them was shown on the left (or first); None if that is not known.
    seed : int or None
        What the order was drawn with.
    """

    kind: Literal["choice"] = "choice"
    answers: Annotated[list[Answer], Field(min_length=2, max_length=2)]
    winner: Side | None
    left: Side | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


Feedback = Annotated[Thumb | Rating | Correction | Choice, Field(discriminator="kind")]

KINDS = ("thumb", "rating", "correction", "choice")

_feedback = TypeAdapter[Any](Feedback)
_name = TypeAdapter[str](Name)


def feedback_of(fields: Mapping[str, Any]) -> Feedback:
    """The record that has these fields.

    Raises
    ------
    pydantic.ValidationError
        If they are not as the kind has them.
    """
    record: Feedback = _feedback.validate_python(fields)
    return record


def checked_name(text: str) -> str:
    """A person's or a model's name as it is kept.

    Raises
    ------
    UsageError
        If it is no name.
    """
    try:
        return _name.validate_python(text)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"a name {reason}", where=repr(text), fix="give another one") from None


def id_of(feedback: Feedback) -> str:
    """Hash of who said what about which answers; when, where and why it was said do not count.

    Two answers are in no order here: that *a* is better than *b* is said by a choice either way.
    """
    match feedback:
        case Thumb():
            verdict: Any = feedback.up
        case Rating():
            verdict = [feedback.value, feedback.low, feedback.high]
        case Correction():
            verdict = feedback.better
        case Choice():
            verdict = None if feedback.winner is None else _pair(feedback.answers[feedback.winner])
    return sha256_json([subject_of(feedback), verdict, feedback.person])[:ID_DIGITS]


def subject_of(feedback: Feedback) -> str:
    """Hash of what was judged: the kind, the prompt and the answers, two of them in no order."""
    answers = feedback.answers if isinstance(feedback, Choice) else [feedback.answer]
    prompt = [[message.role, message.content] for message in feedback.prompt]
    return sha256_json([feedback.kind, prompt, sorted(_pair(answer) for answer in answers)])


def _pair(answer: Answer) -> list[str]:
    return [answer.text, answer.model]
