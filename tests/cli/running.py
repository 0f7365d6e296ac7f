"""What the tests of the command line share: its entry, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line of a mistake."""
        assert self.returncode == 2, self.stderr
        assert self.stdout == ""
        assert self.stderr.startswith("error: ")
        assert self.stderr.count("\n") == 1
        return self.stderr.removeprefix("error: ").rstrip("\n")


Run = Callable[..., Done]
