"""What a person types: lines, texts of several lines, lines that are there already and changed."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

FENCE = '"""'


def typed() -> Iterator[str]:
    """What the user types, message by message; Ctrl-C drops a line, Ctrl-D ends."""
    while True:
        try:
            text = _begun_block(input("> "))
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        if text.strip():
            yield text.strip()


def read_line(prompt: str, text: str) -> str:
    """A line that begins as a text; empty if it was dropped with Ctrl-C or Ctrl-D.

    Where Python has no readline, or the text has several lines, it is shown and written anew.
    """
    readline = load_readline()
    try:
        if readline is None or "\n" in text:
            print(text)
            return _begun_block(input(prompt))
        readline.set_startup_hook(lambda: readline.insert_text(text))
        return _begun_block(input(prompt))
    except (KeyboardInterrupt, EOFError):
        print()
        return ""
    finally:
        if readline is not None:
            readline.set_startup_hook(None)


def read_block(prompt: str) -> str:
    """One line, or several between fences; empty if it was dropped."""
    try:
        return _begun_block(input(f"{prompt} ({FENCE} for several lines)> "))
    except (KeyboardInterrupt, EOFError):
        print()
        return ""


def load_readline() -> ModuleType | None:
    """Let ``input`` edit lines and remember them, where Python has readline."""
    try:
        import readline
    except ImportError:  # Windows, where the console does it
        return None
    return readline


def _begun_block(first: str) -> str:
    is_block = first.lstrip().startswith(FENCE)
    return _rest_of_block(first.lstrip().removeprefix(FENCE)) if is_block else first


def _rest_of_block(first: str) -> str:
    """Lines up to the closing fence."""
    lines = [first]
    while not lines[-1].rstrip().endswith(FENCE):
        lines.append(input(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(FENCE)
    return "\n".join(lines)
