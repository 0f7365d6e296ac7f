"""What the tests of the command line share: its entry, called in this process or in a new one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: What commands import beside wherefrom, which takes seconds: the processes of `run_apart` are
#: forked from one that has done so. Each imports wherefrom itself anew.
OTHERS = [
    "jinja2",
    "matplotlib.figure",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "pydantic",
    "pyogrio",
    "rasterio",
    "rich.markdown",
    "scipy.ndimage",
    "scipy.spatial",
    "scipy.stats",
    "typer",
]
APART = multiprocessing.get_context("forkserver")
APART.set_forkserver_preload(OTHERS)


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


def run_apart(words: list[str], folder: Path, env: dict[str, str]) -> Done:
    """Run the command line in a process of its own, in a folder and with these variables alone."""
    with tempfile.TemporaryDirectory() as said:
        out, err = Path(said) / "out", Path(said) / "err"
        process = APART.Process(target=_main, args=(words, folder, env, out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return Done(process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _main(words: list[str], folder: Path, env: dict[str, str], out: Path, err: Path) -> None:
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    assert not any(name.partition(".")[0] == "wherefrom" for name in sys.modules)
    # Modules of one's own are found there because the command looks there, not because a test does.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != folder.resolve()]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["wherefrom", *words]
    from wherefrom.cli import main

    main()
