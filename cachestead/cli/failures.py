"""How a command ends badly: one sentence for the reader, no traceback, exit code 1.

Raised anywhere below a command, printed in one place (`main.Commands`). What is not a `CommandFailed` is a defect
and keeps its traceback.
"""

from __future__ import annotations


class CommandFailed(Exception):
    """The command cannot do what was asked."""

    def __init__(self, sentence: str, *, advice: str | None = None) -> None:
        self.sentence = sentence
        self.advice = advice
        """What the reader can do about it, where there is something."""
        super().__init__(sentence)
