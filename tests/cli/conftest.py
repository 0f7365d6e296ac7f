"""Fixtures of the command line's tests."""

from __future__ import annotations

import sys

import pytest
from running import Done, Run

from wherefrom.cli import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line's own entry in this process, which saves seconds of imports."""

    def call(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["wherefrom", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        text = capsys.readouterr()
        return Done(int(left.value.code or 0), text.out, text.err)

    return call
