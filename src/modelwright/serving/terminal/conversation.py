"""A conversation as a tree of messages, in the file format of the chat page.

To edit a message, or to have it answered again, makes a sibling, and nothing is lost. What is shown
is one path through the tree, from the top to a leaf.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelwright.core.clock import now
from modelwright.core.errors import InputError, from_os_error
from modelwright.core.files import write_text
from modelwright.serving.api.strict_request import Text

FORM: Literal["modelwright-conversations"] = "modelwright-conversations"
VERSION: Literal[1] = 1
TOP = ""
"""Stands for the parent of what has none, among the active children."""

Id = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]
Byte = Annotated[int, Field(ge=0, le=255)]
Scored = tuple[list[Byte], float]
"""The bytes of a token, and its natural log-probability."""

Token = tuple[list[Byte], float, list[Scored]]
"""The same of a token that was said, with the likeliest in its place."""


class _Kept(BaseModel):
    """What this program does not know stays as it is: the chat page keeps more than it does."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, populate_by_name=True)


class Turn(_Kept):
    """One message.

    Attributes
    ----------
    id, parent : str
        Its own id, and that of the message before it; None at the top.
    role : {"user", "assistant"}
        Who speaks.
    text : str
        What was said.
    model : str
        Who answered; empty for questions.
    end : {"stop", "length", "full", "stopped", "error"} or None
        Why an answer ended.
    tokens : list of Token or None
        Of an answer, where they were asked for.
    better : str or None
        What it should have said.
    system : str
        What the model was told before the conversation, when it answered.
    left_out : int
        How many of the oldest messages it did not read, for want of room.
    options : dict or None
        How it was asked for an answer, in the fields of a request.
    """

    id: Id = Field(default_factory=lambda: secrets.token_hex(12))
    parent: Id | None
    role: Literal["user", "assistant"]
    text: Text
    model: Text = ""
    end: Literal["stop", "length", "full", "stopped", "error"] | None = None
    tokens: list[Token] | None = None
    better: Text | None = None
    system: Text = ""
    left_out: int = Field(0, ge=0, alias="leftOut")
    options: dict[str, Any] | None = None


class Conversation(_Kept):
    """All messages, and which of them are shown.

    Attributes
    ----------
    mode : {"chat", "complete"}
        Whether the model answers, or goes on with a text.
    title, system : str
        Its name, which may be empty, and what the model is told before it.
    messages : list of Turn
        Parents before children.
    active : list of (str, str)
        Of each parent the child that is shown; see :data:`TOP`.
    """

    id: Id = Field(default_factory=lambda: secrets.token_hex(12))
    mode: Literal["chat", "complete"] = "chat"
    title: Text = ""
    system: Text = ""
    created: str = Field(default_factory=now)
    updated: str = Field(default_factory=now)
    messages: list[Turn] = []
    active: list[tuple[str, str]] = []

    def add(self, role: Literal["user", "assistant"], text: str, parent: Turn | None) -> Turn:
        """Put a message behind another, and show it."""
        turn = Turn(role=role, text=text, parent=None if parent is None else parent.id)
        self.messages.append(turn)
        self.show(turn)
        return turn

    def remove(self, turn: Turn) -> None:
        """Take away a message that nothing follows; what was said before in its place is shown."""
        self.messages.remove(turn)
        left = self.children(turn.parent)
        self.active = [(parent, child) for parent, child in self.active if child != turn.id]
        if left:
            self.show(left[-1])

    def show(self, turn: Turn) -> None:
        """Show a message rather than its siblings."""
        parent = turn.parent or TOP
        self.active = [pair for pair in self.active if pair[0] != parent] + [(parent, turn.id)]
        self.updated = now()

    def children(self, parent: str | None) -> list[Turn]:
        """What follows a message, oldest first."""
        return [turn for turn in self.messages if turn.parent == parent]

    def versions(self, turn: Turn) -> list[Turn]:
        """A message and its siblings, oldest first."""
        return self.children(turn.parent)

    def path(self) -> list[Turn]:
        """The messages that are shown, from the top."""
        by_id = {turn.id: turn for turn in self.messages}
        children = dict(self.active)
        found, at = list[Turn](), children.get(TOP)
        while at is not None:
            found.append(by_id[at])
            at = children.get(at)
        return found

    def before(self, turn: Turn) -> list[Turn]:
        """The messages from the top to this one, itself included."""
        by_id = {one.id: one for one in self.messages}
        found, at = list[Turn](), by_id.get(turn.id)
        while at is not None:
            found.append(at)
            at = None if at.parent is None else by_id[at.parent]
        return found[::-1]

    def parent_of(self, turn: Turn) -> Turn | None:
        """The message before this one."""
        return next((one for one in self.messages if one.id == turn.parent), None)

    def messages_for(self, question: Turn, system: str, left_out: int = 0) -> list[dict[str, str]]:
        """What a model reads in order to answer."""
        said = [{"role": turn.role, "content": turn.text} for turn in self.before(question)]
        told = [{"role": "system", "content": system}] if system else []
        return [*told, *said[left_out:]]

    def read_for(self, answer: Turn) -> list[dict[str, str]]:
        """What the model had read when it gave an answer."""
        question = self.parent_of(answer)
        assert question is not None
        return self.messages_for(question, answer.system, answer.left_out)

    def settled(self) -> Conversation:
        """Check that the tree is one, and let something be shown everywhere; raises ValueError."""
        known = set[str]()
        for turn in self.messages:
            if turn.id in known:
                raise ValueError("two messages have one id")
            if turn.parent is not None and turn.parent not in known:
                raise ValueError("a message comes before its parent, or has none")
            known.add(turn.id)
        parents = {turn.id: turn.parent or TOP for turn in self.messages}
        newest = {turn.parent or TOP: turn.id for turn in self.messages}
        chosen = {parent: child for parent, child in self.active if parents.get(child) == parent}
        self.active = list((newest | chosen).items())
        return self


class _File(BaseModel):
    form: Literal["modelwright-conversations"]
    version: Literal[1]
    conversations: Annotated[list[Conversation], Field(min_length=1)]


def save(conversation: Conversation, path: Path) -> None:
    """Write a file that the chat page imports.

    Raises
    ------
    ModelwrightError
        If it cannot be written.
    """
    content = {
        "form": FORM,
        "version": VERSION,
        "conversations": [_as_json(conversation)],
    }
    try:
        write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise from_os_error(error) from None


def load(path: Path) -> list[Conversation]:
    """The conversations of a file that was saved here or exported by the chat page.

    Raises
    ------
    ModelwrightError
        If it cannot be read.
    InputError
        If it holds no conversations.
    """
    fix = "give a file that '/save' or the chat page's export wrote"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [one.settled() for one in _File.model_validate(content).conversations]
    except OSError as error:
        raise from_os_error(error) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise InputError(f"{place}: {first['msg']}", where=path, fix=fix) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"no conversations here: {error}", where=path, fix=fix) from None


def _as_json(conversation: Conversation) -> dict[str, Any]:
    content = conversation.model_dump(mode="json", exclude={"messages"})
    content["messages"] = [
        {**turn.model_dump(mode="json", exclude_none=True, by_alias=True), "parent": turn.parent}
        for turn in conversation.messages
    ]
    return content
