"""One tidy table of all scores of a study, from its few-shot stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wherefrom.compose import Composition
from wherefrom.errors import WherefromError
from wherefrom.files import atomic
from wherefrom.study.sizes import Size, heads_of, sized
from wherefrom.study.stage import Plan, Stage
from wherefrom.study.store import Store

__all__ = [
    "READ", "SCHEMA", "SIZED", "at_sizes", "collect", "joined", "problems", "scored_at",
    "unfinished",
]  # fmt: skip

#: Kinds of the stages whose files the results and the report are made of.
READ = ("pool", "draw", "audit", "fewshot", "tune")

#: The tidy table: one row per axes and metric.
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("composition", pa.string()),
        ("block", pa.int32()),
        ("task", pa.string()),
        ("region", pa.string()),
        ("n", pa.int32()),
        ("head", pa.string()),
        ("finetune_seed", pa.int32()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)

#: The table of the size axis: how many places were asked for (0 of zero pre-training) and how many
#: different ones were drawn, what is equal between sizes, and the samples seen. The rows of the
#: study's own size are there under each budget.
SIZED = pa.schema(
    [
        *SCHEMA,
        ("size", pa.int64()),
        ("drawn", pa.int64()),
        ("budget", pa.string()),
        ("samples_seen", pa.int64()),
    ]
)


def collect(plan: Plan, store: Store, out: Path) -> pa.Table:
    """Join the scores of finished few-shot stages and write ``results.parquet`` into a folder.

    Beside it ``sizes.parquet``, where the study has a size axis (`SIZED`). What a run that was
    stopped lacks is for `unfinished` to say.

    Returns
    -------
    pyarrow.Table
        One row per axes and metric, with the columns of `SCHEMA`.

    Raises
    ------
    WherefromError
        If no stage of a headline is finished.
    """
    results = joined(plan, store)
    with atomic(out / "results.parquet") as tmp:
        pq.write_table(results, tmp, compression="zstd", write_page_checksum=True)
    if plan.study.sizes is not None:
        with atomic(out / "sizes.parquet") as tmp:
            pq.write_table(at_sizes(plan, store), tmp, compression="zstd", write_page_checksum=True)
    return results


def joined(plan: Plan, store: Store) -> pa.Table:
    """Join the scores of finished few-shot stages, as `collect` without writing them."""
    missing = _missing(plan, store)
    if missing:
        _refuse_no_headline(plan, missing)
    return pa.concat_tables(
        [_scores(stage, store, SCHEMA, stage.axes) for stage in _finished(plan, store)]
    )


def _scores(stage: Stage, store: Store, schema: pa.Schema, axes: Mapping[str, object]) -> pa.Table:
    """Read the scores of a stage, with its place on the axes."""
    scores = pq.read_table(store.sound(stage) / "scores.parquet")
    for name, value in axes.items():
        scores = scores.append_column(name, pa.array([value] * len(scores)))
    return scores.select(schema.names).cast(schema)


def scored_at(plan: Plan, store: Store) -> list[tuple[Size, Stage]]:
    """Return the finished few-shot stages of the size axis; of own size once for each budget.

    Zero pre-training has 0 places.
    """
    study, found = plan.study, list[tuple[Size, Stage]]()
    if study.sizes is None:
        return found
    for stage in _finished(plan, store):
        model, composition = stage.axes["model"], stage.axes["composition"]
        run = stage.inputs.get("pretrain")
        blocks = study.sizes.blocks
        if (
            run is None
            or stage.axes["head"] not in heads_of(study, model)
            or stage.inputs["task"].of is not study.tasks[study.models[model].tasks[0]]
            or stage.spec["regions"] is not None
            or (blocks is not None and stage.axes["block"] >= blocks)
        ):
            continue
        empty = run.inputs["draw"].of.empty
        if empty or composition in sized(study):
            places = 0 if empty else study.composition_size
            found += [(Size(places, budget), stage) for budget in study.sizes.budgets]
    every = plan.sized("fewshot")
    finished = store.finished(every)
    return found + [(s.size, s) for s in every if s.size and s.key in finished]


def at_sizes(plan: Plan, store: Store) -> pa.Table:
    """Join the scores of the size axis, with the columns of `SIZED`."""
    tables = [SIZED.empty_table()]
    for size, stage in scored_at(plan, store):
        run = stage.inputs["pretrain"]
        file = store.sound(run.inputs["draw"]) / "composition.parquet"
        more = {
            "size": size.places,
            "drawn": len(Composition.read(file).ids),
            "budget": size.budget,
            "samples_seen": run.of.pretrain.samples_seen if size.places else 0,
        }
        tables.append(_scores(stage, store, SIZED, stage.axes | more))
    return pa.concat_tables(tables)


def unfinished(plan: Plan, store: Store) -> list[str]:
    """Say, model by model, which composition of a run that was stopped lacks which blocks.

    Returns
    -------
    list of str
        Such as ``"mine: uniform lacks blocks 3, 4; none lacks block 2 (forest)"``, with heads
        where a block lacks only some; empty if all is finished.
    """
    every = Counter(map(_run, plan.of_kind("fewshot")))
    lacks: dict[str, dict[str, dict[int, list[str]]]] = {}
    for stage in _missing(plan, store):
        model, composition, block = _run(stage)
        blocks = lacks.setdefault(model, {}).setdefault(composition, {})
        blocks.setdefault(block, []).append(stage.axes["head"])
    said = [
        f"{model}: "
        + "; ".join(
            _lacks(composition, blocks, {b: every[model, composition, b] for b in blocks})
            for composition, blocks in compositions.items()
        )
        for model, compositions in lacks.items()
    ]
    other = plan.sized("fewshot")
    gone = len({stage.key for stage in other} - store.finished(other))
    return said + [f"other sizes: {gone} of {len(other)} few-shot stages are missing"] * bool(gone)


def problems(plan: Plan, store: Store) -> list[str]:
    """Return what few-shot stages could not evaluate and why, each once."""
    sized = plan.sized("fewshot")
    there = store.finished(sized)
    other = [stage for stage in sized if stage.key in there]
    folders = map(store.sound, [*_finished(plan, store), *other])
    texts = ((folder / "problems.txt").read_text(encoding="utf-8") for folder in folders)
    return list(dict.fromkeys(line for text in texts for line in text.splitlines()))


def _finished(plan: Plan, store: Store) -> list[Stage]:
    finished = store.finished(plan.of_kind("fewshot"))
    return [stage for stage in plan.of_kind("fewshot") if stage.key in finished]


def _missing(plan: Plan, store: Store) -> list[Stage]:
    finished = store.finished(plan.of_kind("fewshot"))
    return [stage for stage in plan.of_kind("fewshot") if stage.key not in finished]


def _run(stage: Stage) -> tuple[str, str, int]:
    return stage.axes["model"], stage.axes["composition"], stage.axes["block"]


def _lacks(composition: str, blocks: dict[int, list[str]], of: dict[int, int]) -> str:
    """Say which blocks a composition lacks, or which heads a row without compositions."""
    if not composition:
        return f"lacks {', '.join(dict.fromkeys(blocks[-1]))}"
    named = [
        str(block) + (f" ({', '.join(dict.fromkeys(heads))})" if len(heads) < of[block] else "")
        for block, heads in sorted(blocks.items())
    ]
    return f"{composition} lacks block{'s' if len(named) > 1 else ''} {', '.join(named)}"


def _refuse_no_headline(plan: Plan, missing: list[Stage]) -> None:
    """Refuse results in which a headline would have no score."""
    study = plan.study
    gone = {stage.key for stage in missing}
    for headline in study.headlines:
        label = study.tasks[study.models[headline.model].tasks[0]].label
        about = [
            stage
            for stage in plan.of_kind("fewshot")
            if (stage.axes["model"], stage.axes["task"]) == (headline.model, label)
            and stage.axes["head"] == headline.head
            and stage.spec["regions"] is None
        ]
        if all(stage.key in gone for stage in about):
            raise WherefromError(
                f"{len(missing)} of {len(plan.of_kind('fewshot'))} few-shot stages are missing, "
                f"e.g. {(about or missing)[0].label!r}: run the study first (wherefrom study run)"
            )
