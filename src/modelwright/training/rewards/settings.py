"""Settings of rewards, one class a kind."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from modelwright.core.settings import Settings


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address that begins with http:// or https://")
    return url.rstrip("/")


def _check_function(function: str) -> str:
    path, _, name = function.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise ValueError("not of the form path.py:function")
    return function


Difference = Literal["case", "space", "commas"]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A regular expression as Python's ``re`` has it."""


class RewardBase(Settings):
    """What every reward has."""

    weight: float = Field(
        1.0, allow_inf_nan=False, description="what its values are multiplied by in the sum"
    )
    name: str | None = Field(
        None, min_length=1, description="what it is called in logs; by default its kind"
    )
    on_error: Literal["stop", "none"] = Field(
        "stop",
        description="if a value cannot be worked out: stop the training, or count it and leave it "
        "out",
    )

    def relative_to(self, folder: Path) -> Self:
        """The same settings with every path made absolute, relative ones taken from ``folder``."""
        return self


class ExactMatchReward(RewardBase):
    """1 if the answer is the one in the row, else 0."""

    kind: Literal["exact_match"] = "exact_match"
    field: str = Field(
        "answer", min_length=1, description="field of the row with the answer, or a list of answers"
    )
    mark: str | None = Field(
        None, min_length=1, description="compare what stands behind the last such mark, as '####'"
    )
    pattern: Pattern | None = Field(
        None,
        description="compare the last match of this regular expression in the model's answer (its "
        "first group, if it has one)",
    )
    number: bool = Field(False, description="compare the last number, by value: 1,234 is 1234.0")
    ignore: list[Difference] = Field(
        default_factory=lambda: list[Difference](["space"]),
        description="differences that do not count: upper and lower case; white space at the ends "
        "and its kind and length elsewhere; commas between the digits of a number",
    )


class RegexReward(RewardBase):
    """1 if a regular expression matches the answer, else 0."""

    kind: Literal["regex"] = "regex"
    pattern: Pattern = Field(description="regular expression")
    whole: bool = Field(False, description="whether it must match the answer from end to end")


class LengthReward(RewardBase):
    """0 at the wanted length, falling in a straight line to -1."""

    kind: Literal["length"] = "length"
    target: int = Field(ge=1, description="the wanted length")
    tolerance: int | None = Field(
        None, ge=1, description="how far off it the reward is -1; by default the target"
    )
    unit: Literal["tokens", "characters"] = Field("tokens", description="of the length")


class OverlongReward(RewardBase):
    """0 for answers that keep well below a limit, falling to -1 at it (DAPO)."""

    kind: Literal["overlong"] = "overlong"
    limit: int = Field(ge=1, description="the longest answer that is wanted")
    margin: int = Field(ge=1, description="how far below it the reward begins to fall")
    unit: Literal["tokens", "characters"] = Field("tokens", description="of the length")

    @model_validator(mode="after")
    def _margin_fits(self) -> OverlongReward:
        if self.margin > self.limit:
            raise ValueError("the margin is longer than the limit")
        return self


class FormatReward(RewardBase):
    """1 if the answer has the wanted form, else 0."""

    kind: Literal["format"] = "format"
    tags: list[str] = Field(
        default_factory=list,
        description="tags that must each be opened and closed once, in this order: [think, answer]",
    )
    only_tags: bool = Field(False, description="whether text outside of the tags is wrong")
    json_text: bool = Field(
        False,
        description="whether the answer, or what is in the last tag, must be JSON",
    )
    finished: bool = Field(False, description="whether the answer must have ended by itself")

    @model_validator(mode="after")
    def _asks_for_something(self) -> FormatReward:
        if not (self.tags or self.json_text or self.finished):
            raise ValueError("no form is asked for: give tags, json_text or finished")
        for tag in self.tags:
            if not re.fullmatch(r"\w[\w.-]*", tag) or self.tags.count(tag) > 1:
                raise ValueError(f"'{tag}' is no name of a tag, or stands there twice")
        return self


class UnitTestsReward(RewardBase):
    """1 if the Python code in the answer passes the row's tests, else 0."""

    kind: Literal["unit_tests"] = "unit_tests"
    field: str = Field(
        "tests", min_length=1, description="field of the row with a test, or a list of them"
    )
    before: list[str] = Field(
        default_factory=list,
        description="fields of the row with code that goes before the answer's, as [prompt]",
    )
    setup: list[str] = Field(
        default_factory=list,
        description="fields of the row with code that goes between the answer's and the tests",
    )
    after: str | None = Field(
        None,
        description="code to run behind each test; {name} stands for a field of the row, as "
        "check({entry_point})",
    )
    partial: bool = Field(False, description="give the share of the tests that pass")
    seconds: int = Field(5, ge=1, description="processor time for an answer and its tests")
    memory_mb: int = Field(
        512, ge=16, description="memory for an answer and its tests, in MB, besides Python itself"
    )
    unconfined: bool = Field(
        False,
        description="run the code even on a system where it cannot be kept from files, network and "
        "other processes",
    )


class PythonReward(RewardBase):
    """What a function in a file of yours gives."""

    kind: Literal["python"] = "python"
    function: Annotated[str, AfterValidator(_check_function)] = Field(
        description="path.py:function, relative to the recipe; it gets a list of samples and "
        "returns a list of numbers or None"
    )
    seconds: float = Field(60.0, gt=0, description="how long one call may take")

    def file(self) -> Path:
        """The file with the function."""
        return Path(self.function.rpartition(":")[0])

    def decisive(self) -> dict[str, Any]:
        """What the file holds decides, not where it lies."""
        return {**super().decisive(), "function": self.function.rpartition(":")[2]}

    def relative_to(self, folder: Path) -> Self:
        function = self.function.rpartition(":")[2]
        return self.model_copy(update={"function": f"{_absolute(self.file(), folder)}:{function}"})


class JudgeReward(RewardBase):
    """A score that another model gives, asked over an OpenAI-compatible API; from 0 to 1."""

    kind: Literal["judge"] = "judge"
    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="base address of the API, as http://127.0.0.1:8000/v1"
    )
    model: str = Field(min_length=1, description="name of the judging model there")
    template: str = Field(
        "Rate the answer from 0 (useless) to 10 (perfect). End with the number.\n\n"
        "Question:\n{prompt}\n\nAnswer:\n{completion}",
        description="what the judge is asked; {prompt}, {completion} and fields of the row in "
        "braces",
    )
    pattern: Pattern = Field(
        r"(?s)(-?\d+(?:\.\d+)?)(?:\s*/\s*10)?(?!.*\d)",
        description="regular expression whose first group is the score in what the judge says; by "
        "default the last number, without '/10'",
    )
    lowest: float = Field(0.0, allow_inf_nan=False, description="score that becomes 0")
    highest: float = Field(10.0, allow_inf_nan=False, description="score that becomes 1")
    max_tokens: int = Field(512, ge=1, description="most tokens that the judge may say")
    key_variable: str | None = Field(
        None, min_length=1, description="environment variable with the key of the API"
    )
    concurrency: int = Field(8, ge=1, le=256, description="requests at a time")
    seconds: float = Field(60.0, gt=0, description="how long one request may take")
    retries: int = Field(4, ge=0, description="how often a request is tried again, ever later")

    @model_validator(mode="after")
    def _scores_are_apart(self) -> JudgeReward:
        if self.lowest >= self.highest:
            raise ValueError("lowest is not below highest")
        if re.compile(self.pattern).groups < 1:
            raise ValueError("the pattern has no group for the score: put it in ( )")
        return self


class ModelReward(RewardBase):
    """What a reward model gives."""

    kind: Literal["model"] = "model"
    path: str = Field(min_length=1, description="its folder, relative to the recipe")

    def decisive(self) -> dict[str, Any]:
        """What the model is decides, not where it lies."""
        return {name: value for name, value in super().decisive().items() if name != "path"}

    def relative_to(self, folder: Path) -> Self:
        return self.model_copy(update={"path": _absolute(Path(self.path), folder)})


def _absolute(path: Path, folder: Path) -> str:
    return os.path.abspath(folder / path.expanduser())


RewardSettings = Annotated[
    ExactMatchReward
    | RegexReward
    | LengthReward
    | OverlongReward
    | FormatReward
    | UnitTestsReward
    | PythonReward
    | JudgeReward
    | ModelReward,
    Field(discriminator="kind"),
]
