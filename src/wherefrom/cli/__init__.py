"""The command line: thin, one module per command, errors in one line.

Command modules import their room inside each command, so that `--help` is instant and drawing
needs no torch.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from wherefrom.cli import (
    advise,
    atlas,
    audit,
    card,
    check_leak,
    data,
    draw,
    evaluate,
    init,
    kinds,
    pool,
    results,
    selfcheck,
    study,
    task,
)
from wherefrom.errors import WherefromError, of_the_system, speaking_flags
from wherefrom.plugins import NO_PLUGINS
from wherefrom.progress import console, noted, say

__all__ = ["app", "main"]

#: With which typer leaves when the user presses Ctrl-C.
INTERRUPTED, TERMINATED = 130, 143

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=(
        "Where on Earth should the pre-training data of a geospatial foundation model come from?"
        "\n\nBuild a pool of places, draw compositions from it, pre-train on each, fine-tune "
        "few-shot in every region, and read the evidence."
    ),
    epilog="Start here: wherefrom study run studies/purohit2025 --scale debug --out runs/debug",
)
app.add_typer(data.app, name="data")
app.add_typer(pool.app, name="pool")
app.command("draw")(draw.draw)
app.command("audit")(audit.audit)
app.command("card")(card.card)
app.command("atlas")(atlas.atlas)
app.command("check-leak")(check_leak.check_leak)
app.add_typer(task.app, name="task")
app.add_typer(study.app, name="study")
app.add_typer(results.app, name="results")
app.command(
    "advise", epilog="Example: wherefrom advise studies/purohit2025 --task cropland --target Asia"
)(advise.advise)
app.command("selfcheck")(selfcheck.selfcheck)
app.command("init")(init.init)
app.command("evaluate")(evaluate.evaluate)
app.command("list")(kinds.list_)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"wherefrom {metadata.version('wherefrom')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    no_plugins: Annotated[
        bool,
        typer.Option(
            "--no-plugins",
            help="Refuse MODULE:NAME and the kinds of other packages, whose code would run.",
        ),
    ] = False,
) -> None:
    if no_plugins:
        os.environ[NO_PLUGINS] = "1"


@speaking_flags()
def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A label that the terminal's encoding lacks must not end a finished draw in an error.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Layers and samplers of one's own, MODULE:NAME, may lie in the folder one works in.
    sys.path.append("")
    try:
        with noted():
            app()
    except WherefromError as err:
        _fail(str(err))
    except UnicodeEncodeError as err:
        if err.reason != "surrogates not allowed":
            raise
        _fail(f"the name {err.object!a} is not valid {err.encoding}: rename the file")
    except Exception as err:
        # Rooms name the files that they read and write; what has no name is the output stream.
        if isinstance(err, OSError) and err.errno == errno.ENOSPC and err.filename is None:
            _fail("cannot print the result: the disk of the output is full")
        if not (said := of_the_system(err)):
            raise
        _fail(said)
    except SystemExit as left:
        if left.code in (INTERRUPTED, TERMINATED):
            say("stopped; what was finished is kept: run the same command to go on")
        raise


def _fail(message: str) -> NoReturn:
    console.print("error:", style="bold red", end=" ")
    say(message)
    sys.exit(2)
