"""From token bytes to text, piece by piece, without ever showing half a character."""

from __future__ import annotations

import codecs


class Detokenizer:
    """Turns the bytes of tokens into text as they come.

    Held back are bytes that are not a whole character yet, and text that could be the beginning
    of a stop string. The pieces together do not depend on how the bytes were cut.

    Parameters
    ----------
    stop : tuple of str
        Texts at which to end; what was first completed counts, and is left out.
    """

    def __init__(self, stop: tuple[str, ...] = ()):
        self.is_stopped = False
        """Whether a stop string was met; nothing comes after it."""
        self.stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, data: bytes) -> str:
        """Take the bytes of the next token; return the text that is certain by now."""
        if self.is_stopped:
            return ""
        self._held += self._decoder.decode(data)
        found = [(self._held.find(stop), len(stop)) for stop in self.stop if stop in self._held]
        if found:
            start, _ = min(found, key=lambda match: (match[0] + match[1], match[0]))
            self.is_stopped = True
            return self._release(start)
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """The text held back, when no more comes; an unfinished character is left out."""
        return "" if self.is_stopped else self._release(len(self._held))

    def _release(self, length: int) -> str:
        piece, self._held = self._held[:length], self._held[length:]
        return piece

    def _possible_stop(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        for length in range(len(self._held), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self.stop):
                return length
        return 0
