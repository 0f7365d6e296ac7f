"""What a run says of one composition beside uniform, in a few plain values: for a leaderboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wherefrom.errors import WherefromError
from wherefrom.evidence import ALL_REGIONS
from wherefrom.files import sha256_of
from wherefrom.keys import key_of
from wherefrom.study import load, plan
from wherefrom.study.store import versions

__all__ = ["entry"]


def entry(study: Path, scale: str, out: Path, listed: Path, name: str) -> dict[str, Any]:
    """Say how a composition compares with the first reference of a finished study.

    Parameters
    ----------
    study : Path
        Its file.
    scale : str
    out : Path
        The folder of the run.
    listed : Path
        The file of the composition.
    name : str
        Of the composition.

    Returns
    -------
    dict
        Plain values: among them ``sha256`` of the list, ``difference`` with ``low`` and ``high``,
        which hold at once over all that the study compares, and ``beside``, a hash of all that the
        reference was computed of: entries that share it were compared with the same.

    Raises
    ------
    WherefromError
        If the study was not finished, or the two were not compared.
    """
    steps = plan(load(study, scale))
    of, reference = steps.study.headlines[0], steps.study.references[0]
    about = of.model_dump() | {"composition": name, "reference": reference, "n": steps.study.n}
    written = json.loads((out / "tables" / "report.json").read_text(encoding="utf-8"))
    rows = {row["region"]: row for row in written["differences"] if about.items() <= row.items()}
    if not rows:
        raise WherefromError(f"{name!r} was not compared with {reference!r}: run the same again")
    row = rows.get(ALL_REGIONS) or next(iter(rows.values()))
    beside = [
        stage.key
        for stage in steps.of_kind("fewshot")
        if (stage.axes["composition"], stage.axes["model"]) == (reference, of.model)
    ]
    told = ("model", "task", "metric", "region", "difference", "low", "high", "verdict", "blocks")
    return {
        "name": name,
        "sha256": sha256_of(listed),
        "places": steps.study.composition_size,
        "scale": scale,
        **{column: row[column] for column in told},
        "beside": key_of(beside),
        "wherefrom": versions()["wherefrom"],
    }
