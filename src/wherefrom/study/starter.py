"""A first study file: complete and commented, of sizes that fit a table, its labels and a machine.

Nothing here is needed to read a study: what is written is a file like any other.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from wherefrom import parallel
from wherefrom.errors import WherefromError
from wherefrom.gfms.base import Gfm, Start
from wherefrom.plugins import kind, kinds
from wherefrom.pool import Pool
from wherefrom.shown import count_of
from wherefrom.study import cost
from wherefrom.study.plan import plan
from wherefrom.study.pools import PoolSpec
from wherefrom.study.reading import load
from wherefrom.tasks.episode import plan_episodes
from wherefrom.tasks.task import Task

__all__ = ["BUILT", "FEWEST", "SPARE", "Starter", "checked", "fitted", "name_of", "startable"]

#: Candidates of a pool that is built, and places of a composition, by scale.
BUILT = {"debug": (30_000, 1_000), "laptop": (600_000, 10_000)}
#: Of a table, at most one place in so many is drawn: else two draws are nearly the same places.
SPARE = 5
#: The fewest places of a composition that are worth pre-training on.
FEWEST = 20
#: Labelled places of a region that are tried, the first that no region lacks is taken.
LABELS = (100, 50, 20, 10)
#: Blocks of the scale laptop, and the minutes that it may take.
BLOCKS, MINUTES = (3, 6), 20
#: Columns of a table that are named in its study file.
_NAMED = 12
#: Letters of a mapping that is written on one line.
_LINE = 90

#: What stands above the keys of `base`.
_COMMENTS = {
    "composition_size": "Places of every composition.",
    "compositions": (
        "What is compared: a name and a sampler each (`wherefrom list samplers`). none is zero "
        "pre-training; uniform is what the others are compared with. To keep all of them away from "
        "the test places, add exclude_km: 5 beside this key."
    ),
    "payloads": "What models see of a place, of data that are fetched (docs/payloads.md).",
    "models": (
        "Models (`wherefrom list gfms`). A block is one more draw of every composition and one "
        "more pre-training: intervals are over blocks. samples_seen is a multiple of batch."
    ),
    "n": "Labelled places of a region that a head is fitted on, each time others.",
    "heads": (
        "Heads on frozen embeddings. `wherefrom study tune` chooses among the values of a grid, on "
        "places that no score uses."
    ),
    "headlines": "What the first tables and the verdicts are about.",
    "stand_ins": "Where the first layer cannot be had, the other takes its place, and it is said.",
}


@dataclass(frozen=True)
class Starter:
    """What a first study file says.

    Attributes
    ----------
    name, title : str
    pool : mapping
        As of a study file.
    compositions : mapping of str to str
        Samplers by name.
    sizes : mapping of str to int
        Places of a composition by scale.
    models : mapping of str to Start
        By kind.
    task : Task, optional
        Labels of one's own; without, the built-in tasks of the models.
    file : str
        Where the task lies.
    n, blocks : int
        At the scale laptop.
    comments : mapping
        What stands above keys of the file, besides `_COMMENTS`.
    notice : str
        Stands on top of the report.
    brief : bool
        With one head a model alone.
    """

    name: str
    title: str
    pool: Mapping[str, Any]
    compositions: Mapping[str, str]
    sizes: Mapping[str, int]
    models: Mapping[str, Start]
    task: Task | None = None
    file: str = ""
    n: int = LABELS[0]
    blocks: int = BLOCKS[1]
    comments: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    brief: bool = False

    def base(self) -> dict[str, Any]:
        """Give what holds for every scale."""
        size = self.sizes.get("laptop") or self.sizes["debug"]
        return (
            {"name": self.name, "title": self.title, "notice": self.notice}
            | {
                "pool": dict(self.pool),
                "composition_size": size,
                "compositions": dict(self.compositions),
                "tasks": self._tasks(),
                "payloads": _joined(start.payloads for start in self.models.values()),
                "models": {
                    name_of(name): {"kind": name, "tasks": self._tasks_of(start)}
                    | _sized(dict(start.fields), size)
                    | {"blocks": self.blocks}
                    for name, start in self.models.items()
                },
                "n": self.n,
                "finetune_seeds": 50,
                "heads": self._heads(),
                "headlines": [
                    {"model": name_of(name), "head": self._head(start), "metric": self._metric}
                    for name, start in self.models.items()
                ],
            }
            | ({} if self.task else {"stand_ins": {"biome": "climate_zone"}})
        )

    def debug(self) -> dict[str, Any]:
        """Give what the scale debug changes."""
        size = self.sizes["debug"]
        fewer = {
            name: _sized(_merged(dict(start.fields), start.debug), size)
            for name, start in self.models.items()
        }
        changes = {
            name: {k: v for k, v in one.items() if v != self.models[name].fields.get(k)}
            for name, one in fewer.items()
        }
        seconds = _joined(start.debug_payloads for start in self.models.values())
        notice = f"Scale debug: all of it runs, its scores mean nothing. {self.notice}"
        return (
            {"notice": notice.strip()}
            | ({"pool": {"places": BUILT["debug"][0]}} if "places" in self.pool else {})
            | {"composition_size": size}
            | ({} if self.task else {"tasks": self._fewer()})
            | ({"payloads": seconds} if seconds else {})
            | {
                "models": {name_of(name): one | {"blocks": 2} for name, one in changes.items()},
                "finetune_seeds": 5,
            }
        )

    def text(self, scales: Sequence[str] = ("debug", "laptop")) -> str:
        """Write the file, with one scale or both."""
        parts = [
            _comment(
                "Written by wherefrom; every number may be changed. What it will cost: "
                "`wherefrom study plan FILE`, and to run it: `wherefrom study run FILE`. Files are "
                "seen from the folder where these commands run.",
                "",
            ),
            "base:  # holds for every scale",
        ]
        comments = _COMMENTS | dict(self.comments)
        for key, value in self.base().items():
            if not value and key == "notice":
                continue
            if key in comments:
                parts += ["", _comment(comments[key], "  ")]
            parts.append(_yaml({key: value}, "  "))
        parts += [
            "",
            _comment("A scale changes keys of the base: --scale debug, or laptop.", ""),
            "scales:",
        ]
        if "debug" in scales:
            parts.append(_yaml({"debug": self.debug()}, "  "))
        if "laptop" in scales:
            parts.append("  laptop: {}  # the base as it stands")
        return "\n".join(parts) + "\n"

    def _tasks(self) -> dict[str, Any]:
        if self.task is None:
            return {
                name: dict(fields) | {"baselines": self._baselines(start.baselines)}
                for start in self.models.values()
                for name, fields in start.task.items()
            }
        every = dict.fromkeys(one for start in self.models.values() for one in start.baselines)
        own = {"kind": "table", "name": self._labels, "file": self.file}
        if self._numbers:
            own["target"] = self.task.label_layer
        return {self._labels: own | {"baselines": self._baselines(every)}}

    def _fewer(self) -> dict[str, Any]:
        return {
            name: dict(start.debug_task) for start in self.models.values() for name in start.task
        }

    def _tasks_of(self, start: Start) -> list[str]:
        return list(start.task) if self.task is None else [self._labels]

    def _baselines(self, more: Iterable[str]) -> list[str]:
        return ["raw-lonlat", *more, "mean" if self._numbers else "majority"]

    def _heads(self) -> dict[str, Any]:
        if self._numbers:
            alpha = {"options": {"alpha": 1.0}, "grid": {"alpha": [0.1, 1, 10, 100, 1000]}}
            return {"ridge": alpha, "knn-regression": {}, "mean": {}}
        grid = {"grid": {"C": [0.01, 0.1, 1, 10, 100, 1000]}}
        heads: dict[str, Any] = {self._head(start): grid for start in self.models.values()}
        if not self.brief:
            heads["knn"] = {"options": {"k": 1}, "grid": {"k": [1, 3, 5]}}
        return heads | {"majority": {}}

    def _head(self, start: Start) -> str:
        if self._numbers:
            return "ridge"
        return start.head if self.task is None else "logistic"

    @property
    def _numbers(self) -> bool:
        return self.task is not None and self.task.predicts == "numbers"

    @property
    def _metric(self) -> str:
        return "r2" if self._numbers else "f1_macro"

    @property
    def _labels(self) -> str:
        return name_of(self.task.name) if self.task else ""


def startable(names: Sequence[str] = ()) -> dict[str, Start]:
    """Return how models of some kinds start, by default of the first kind that says it.

    Raises
    ------
    WherefromError
        If there is no such kind, or it does not say how.

    Examples
    --------
    >>> len(startable()), startable(["presto"])["presto"].head
    (1, 'logistic-balanced')
    """
    found: dict[str, Start] = {}
    for name in names or kinds("gfms"):
        loaded = kind("gfms", name, "kind of model").load()
        start = loaded.start if isinstance(loaded, type) and issubclass(loaded, Gfm) else None
        if start is not None:
            found[name] = start
            if not names:
                break
        elif names:
            ours = {n: one for n, one in kinds("gfms").items() if one.package == "wherefrom"}
            others = [other for other, one in ours.items() if getattr(one.load(), "start", None)]
            raise WherefromError(
                f"model {name!r}: a first study can be written of {', '.join(others)} alone; start "
                "with one of these, and put yours in its place (docs/extending.md)"
            )
    return found


def name_of(text: str) -> str:
    """Make a name of a study file of any text.

    >>> name_of("my fields (2)"), name_of("...")
    ('my-fields-2', '...')
    """
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "mine"


def fitted(
    name: str,
    models: Mapping[str, Start],
    pool: PoolSpec | None = None,
    candidates: Pool | None = None,
    task: Task | None = None,
    file: str = "",
) -> tuple[Starter, list[str]]:
    """Fit the numbers of a first study to a pool and to labels.

    Parameters
    ----------
    name : str
        Of the study.
    models : mapping of str to Start
        As of `startable`.
    pool : PoolSpec, optional
        A table of candidates; by default places on all land are built.
    candidates : Pool, optional
        What that table holds.
    task : Task, optional
        By default the built-in tasks of the models.
    file : str
        Where the task lies.

    Returns
    -------
    starter : Starter
    told : list of str
        What was chosen since the usual numbers do not fit, and which regions are the reason.

    Raises
    ------
    WherefromError
        If the table is too small, or no region has labels enough.
    """
    comments, told = dict[str, str](), list[str]()
    if pool is None or candidates is None:
        places, sizes = BUILT["laptop"][0], {scale: size for scale, (_, size) in BUILT.items()}
        given: dict[str, Any] = {"places": places, "seed": 0}
        compositions = {
            "none": "none",
            "uniform": "uniform",
            "stratified-continent": "stratified:layer=continent,short=redistribute",
            "clustered-cities": "clustered:around=cities",
        }
        comments["pool"] = "Candidates of pre-training: places uniform by area on all land."
    else:
        sizes = _sizes(pool, len(candidates))
        given = pool.model_dump(exclude_none=True, exclude={"seed", "places"})
        compositions = _compositions(candidates, sizes["laptop"])
        comments["pool"] = (
            f"Candidates of pre-training: {count_of(len(candidates), 'place')} of yours."
        )
        if candidates.columns:
            more = ", ..." if len(candidates.columns) > _NAMED else ""
            comments["compositions"] = (
                f"{_COMMENTS['compositions']} Columns of the table serve as layers: "
                f"{', '.join(candidates.columns[:_NAMED])}{more}."
            )
        if sizes["laptop"] < BUILT["laptop"][1]:
            told.append(
                f"compositions of {count_of(sizes['laptop'], 'place')}: at most one in {SPARE} of "
                f"{len(candidates):,} candidates, so that two draws are two"
            )
    n, title = LABELS[0], "Which pre-training places serve best?"
    if task is not None:
        n, more_told = _labels(task)
        told += more_told
        title = f"Which pre-training places tell {task.label_layer} of {task.name} best?"
        comments["tasks"] = (
            f"What is told: {task.label_layer}, as `wherefrom task from-table` split it. Regions "
            "and splits are those of the file."
        )
        if n != LABELS[0]:
            comments["n"] = f"{_COMMENTS['n']} {more_told[-1]}."
    else:
        comments["tasks"] = (
            "Labelled places, as many in each continent, at least min_distance_km from every "
            "candidate; the tune_ ones are to choose options of heads on, and in no score."
        )
    made = Starter(
        name, title, given, compositions, sizes, models, task, file, n, comments=comments
    )
    return made, told


def checked(made: Starter) -> tuple[Starter, list[str]]:
    """Plan both scales, and take as many blocks as fit `MINUTES` on this machine's cores.

    A task need not be written yet.

    Returns
    -------
    starter : Starter
    told : list of str
        What does not fit.

    Raises
    ------
    WherefromError
        What `load` and `plan` refuse.
    """
    with tempfile.TemporaryDirectory() as folder:
        held, file = made, Path(folder) / "study.yaml"
        if made.task is not None:
            held = replace(made, file=str(Path(folder) / "task.parquet"))
            made.task.write(held.file)
        file.write_text(held.text(), encoding="utf-8")
        plan(load(file, "debug"))
        steps = plan(load(file, "laptop"))
    cores, told = parallel.cores(), list[str]()
    later = sum(stage.cost for stage in steps.stages if stage.axes.get("block", 0) > 0)
    each, first = later / (made.blocks - 1), sum(s.cost for s in steps.stages) - later
    least, most = BLOCKS
    blocks = min(most, max(least, 1 + int((MINUTES * 60 * cores - first) / each)))
    minutes, machine = (first + (blocks - 1) * each) / cores / 60, count_of(cores, "core")
    if minutes > MINUTES:
        told.append(f"scale laptop takes about {minutes:,.0f} minutes on {machine}")
    elif blocks < most:
        told.append(f"{blocks} blocks, not {most}: about {minutes:,.0f} minutes on {machine}")
    needs, has = max(map(cost.memory, steps.stages)), _memory()
    if has and needs * cores > has:
        told.append(
            f"{cores} workers may take {needs * cores / 2**30:.1f} GiB of memory, of "
            f"{has / 2**30:.1f}: run it with --workers {max(1, has // needs)}"
        )
    return replace(made, blocks=blocks), told


def _memory() -> int:
    """Bytes of memory of this machine; 0 where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _sizes(pool: PoolSpec, places: int) -> dict[str, int]:
    """Give the places of a composition by scale, of one digit and zeros."""
    most = places // SPARE
    if most < FEWEST:
        raise WherefromError(
            f"{pool.file} has {count_of(places, 'place')}: candidates are {SPARE} times as many as "
            f"are drawn, so {SPARE * FEWEST} at least: give more"
        )
    digit = 10 ** (len(str(most)) - 1)
    size = min(BUILT["laptop"][1], most // digit * digit)
    return {"debug": min(BUILT["debug"][1], size), "laptop": size}


def _compositions(pool: Pool, size: int) -> dict[str, str]:
    """Choose samplers that the table can give: by continent, else by land cover, and one alone."""
    made = {"none": "none", "uniform": "uniform"}
    for layer in ("continent", "land_cover"):
        codes, labels = pool.codes(layer)
        counts = np.bincount(codes + 1, minlength=len(labels) + 1)[1:].tolist()
        held = {label: count for label, count in zip(labels, counts, strict=True) if count}
        if len(held) < 2 or sum(held.values()) < 2 * size:
            continue
        made[f"stratified-{layer.replace('_', '-')}"] = (
            f"stratified:layer={layer},short=redistribute"
        )
        label = max(held, key=lambda one: held[one])
        if held[label] >= size and label.replace(" ", "").isalpha():
            made[f"only-{name_of(label.lower())}"] = f"only:layer={layer},label={label}"
        return made
    return made | {"uniform-area": "uniform-area"}


def _labels(task: Task) -> tuple[int, list[str]]:
    """Choose n: the first of `LABELS` at which no region is lost that has an episode of fewer.

    A region that has none of `LABELS[2]` labels is not waited for where others have.
    """
    occurring = [r for r, count in zip(task.regions, task.counts(), strict=True) if count.any()]
    lacks = {
        n: {p.region: p.reason for p in plan_episodes(task, occurring, n, [0])[1]} for n in LABELS
    }
    if not occurring:
        raise WherefromError(f"task {task.name!r}: none of its places is in a region")
    enough = next((n for n in LABELS[2:] if len(lacks[n]) < len(occurring)), None)
    if enough is None:
        region, reason = next(iter(lacks[LABELS[-1]].items()))
        raise WherefromError(
            f"task {task.name!r}: no region has labels enough for {LABELS[-1]} a time ({region}: "
            f"{reason}): give more, or make the task with --region-layer all (wherefrom task "
            "from-table)"
        )
    n = next(n for n in LABELS if len(lacks[n]) == len(lacks[enough]))
    told = [f"left out {region}: {reason}" for region, reason in lacks[n].items()]
    if n < LABELS[0]:
        bigger = LABELS[LABELS.index(n) - 1]
        short = [region for region in lacks[bigger] if region not in lacks[n]]
        told.append(f"n = {n}: too few labels for {bigger} in {', '.join(short)}")
    return n, told


def _sized(fields: dict[str, Any], size: int) -> dict[str, Any]:
    """Let a batch be no larger than a composition, and the samples seen whole batches."""
    pretrain = dict(fields["pretrain"])
    batch = min(pretrain["batch"], 1 << int(math.log2(size)))
    seen = max(1, round(pretrain["samples_seen"] / batch)) * batch
    return fields | {"pretrain": pretrain | {"samples_seen": seen, "batch": batch}}


def _merged(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Change fields, and those of `pretrain` within."""
    return base | dict(change) | {"pretrain": base["pretrain"] | dict(change.get("pretrain", {}))}


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        found |= part
    return found


def _comment(text: str, indent: str) -> str:
    begin = f"{indent}# "
    return textwrap.fill(
        text, 100, initial_indent=begin, subsequent_indent=begin, break_on_hyphens=False
    )


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """YAML without anchors: what occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Mapping[str, Any], indent: str) -> str:
    """Write a mapping with each key on a line of its own, and short ones within it on one line."""
    lines = []
    for key, one in value.items():
        text = _dumped(one, None)
        if text[0] in "{[" and len(text) > _LINE:
            text = _dumped(one, flow=False)
        plain = not isinstance(one, dict | list) or text[0] in "{["
        lines.append(f"{key}: {text}" if plain else f"{key}:\n{textwrap.indent(text, '  ')}")
    return textwrap.indent("\n".join(lines), indent)


def _dumped(one: Any, flow: bool | None) -> str:
    text: str = yaml.dump(
        one, Dumper=_Plain, sort_keys=False, default_flow_style=flow, width=100, allow_unicode=True
    )
    return text.removesuffix("...\n").rstrip("\n")
