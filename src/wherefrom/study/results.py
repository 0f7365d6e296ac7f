"""One tidy table of all scores of a study, from its few-shot stages."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.study.stage import Plan
from wherefrom.study.store import Store

__all__ = ["READ", "SCHEMA", "collect", "problems"]

#: Kinds of the stages whose files the results and the report are made of.
READ = ("pool", "draw", "fewshot", "tune")

#: The tidy table: one row per axes and metric.
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("composition", pa.string()),
        ("draw_seed", pa.int32()),
        ("pretrain_seed", pa.int32()),
        ("task", pa.string()),
        ("region", pa.string()),
        ("n", pa.int32()),
        ("head", pa.string()),
        ("finetune_seed", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)


def collect(plan: Plan, store: Store, out: Path) -> pa.Table:
    """Join the scores of all few-shot stages and write ``results.parquet`` into a folder.

    Returns
    -------
    pyarrow.Table
        One row per axes and metric, with the columns of `SCHEMA`.

    Raises
    ------
    WherefromError
        If stages are missing: the study has not been run to its end.
    """
    stages = plan.of_kind("fewshot")
    missing = [stage.label for stage in stages if not store.done(stage.kind, stage.key)]
    if missing:
        raise WherefromError(
            f"{len(missing)} of {len(stages)} few-shot stages are missing, e.g. {missing[0]!r}: "
            "run the study first (wherefrom study run)"
        )
    tables = []
    for stage in stages:
        scores = pq.read_table(store.sound(stage) / "scores.parquet")
        for name, value in stage.axes.items():
            scores = scores.append_column(name, pa.array([value] * len(scores)))
        tables.append(scores.select(SCHEMA.names).cast(SCHEMA))
    results = pa.concat_tables(tables)
    with atomic(out / "results.parquet") as tmp:
        pq.write_table(results, tmp, compression="zstd", write_page_checksum=True)
    return results


def problems(plan: Plan, store: Store) -> list[str]:
    """Return what few-shot stages could not evaluate and why, each once."""
    folders = map(store.sound, plan.of_kind("fewshot"))
    texts = ((folder / "problems.txt").read_text(encoding="utf-8") for folder in folders)
    return list(dict.fromkeys(line for text in texts for line in text.splitlines()))
