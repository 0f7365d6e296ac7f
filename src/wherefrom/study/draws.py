"""The draws of a study, and what they depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from wherefrom import earth
from wherefrom.compose import SamplerModel
from wherefrom.earth.fetch import digest_of
from wherefrom.errors import UnknownNameError, WherefromError, unknown
from wherefrom.keys import canonical, seed_of
from wherefrom.payload.content import Content, content_of
from wherefrom.shown import count_of
from wherefrom.study import cost
from wherefrom.study.sizes import Size, runs_of, sized
from wherefrom.study.spec import Study
from wherefrom.study.stage import Stage

__all__ = ["contents", "draw_stages", "layer_key_of"]


def draw_stages(study: Study, pool: Stage, tasks: dict[str, Stage]) -> Iterator[Stage]:
    """Draw each composition for as many blocks as any model has; away from test places if asked."""
    inputs, apart = {"pool": pool}, {}
    if study.exclude_km is not None:  # else no draw's key knows of it
        inputs |= {f"task {name}": task for name, task in tasks.items()}
        apart = {"exclude_km": study.exclude_km}
    twins, most = study.twins, max(gfm.blocks for gfm in study.models.values())
    fixed: dict[str, str] = {}
    drawn: dict[Size, int] = {}
    for model in study.models:
        for size, gfm in runs_of(study, model):
            at = Size(size.places)
            drawn[at] = max(gfm.blocks, drawn.get(at, 0))
    for name, chosen in study.samplers.items():
        # Draws follow the spec; under a second name it gets streams of its own, so that the two
        # are as independent as any others.
        spec, files = _draw_spec(study, name, chosen)
        _refuse_size(study, name, chosen)
        away = {} if chosen.empty else apart
        if files and not chosen.varies:
            rest = {k: v for k, v in chosen.spec().items() if v not in list(files)}
            other = fixed.setdefault(canonical([rest, spec["content"]]), name)
            if other != name:
                raise WherefromError(
                    f"compositions {other!r} and {name!r} are one: they list the same places"
                )
        for seed in range(most if chosen.varies else 1):
            state = seed_of("composition", name, seed).generate_state(1)
            yield Stage(
                kind="draw",
                label=f"draw {name} {seed}",
                spec=spec | {"seed": int(state[0]) if name in twins else seed} | away,
                inputs={"pool": pool} if chosen.empty else inputs,
                cost=cost.DRAW,
                bundle=f"draw {name} {seed}",
                of=chosen,
                files=files,
                axes={"composition": name, "draw": seed},
            )
        for size, blocks in drawn.items() if name in sized(study) else ():
            for seed in range(blocks if chosen.varies else 1):
                # Streams of their own: the same one would draw the smaller from the larger.
                state = seed_of("composition", name, seed, size.places).generate_state(1)
                yield Stage(
                    kind="draw",
                    label=f"draw {name} {seed} ({size.title})",
                    spec=spec | {"n": size.places, "seed": int(state[0])} | away,
                    inputs=inputs,
                    cost=cost.DRAW,
                    bundle=f"draw {name} {seed} ({size.title})",
                    of=chosen,
                    files=files,
                    axes={"composition": name, "draw": seed},
                    size=size,
                )


def _draw_spec(
    study: Study, name: str, chosen: SamplerModel
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give all that a composition's draws depend on, and the files among that."""
    own = study.table.columns if study.table else ()
    inputs = chosen.inputs()
    files = contents(inputs.files, f"composition {name!r} ({study.compositions[name]!r})")
    for source in inputs.sources:
        earth.path_of(source)
    spec = {
        "sampler": chosen.identity(),
        "n": study.composition_size if chosen.needs_n else None,
        # The pool's own columns are in its key.
        "layers": {
            layer: layer_key_of(layer, own)
            for layer in (*inputs.layers, *inputs.numbers)
            if layer not in own
        },
        "sources": {source: digest_of(source) for source in inputs.sources},
        "content": list(files.values()),
    }
    return spec, files


def _refuse_size(study: Study, name: str, chosen: SamplerModel) -> None:
    """Refuse a list of another size than the other compositions: what differs would be the size."""
    listed, size = chosen.listed(), study.composition_size
    if listed is not None and listed != size:
        raise WherefromError(
            f"composition {name!r} ({study.compositions[name]!r}) lists "
            f"{count_of(listed, 'place')}, and the others have {size:,}: say composition_size: "
            f"{listed}, or list {size:,}"
        )


def contents(
    files: Iterable[str], who: str, held: Callable[[str], Content] = content_of
) -> dict[str, str]:
    """Hash files of the user's by what they hold."""
    try:
        return {file: held(file).key for file in files}
    except WherefromError as err:
        raise WherefromError(f"{err}, but {who} names it") from None


def layer_key_of(name: str, own: Sequence[str]) -> str:
    """Return the key of a layer; for an unknown one the columns of the pool are named, too."""
    try:
        return earth.layer_key(name)
    except UnknownNameError as err:
        if err.kind != "layer":
            raise
        raise unknown("layer", name, (*earth.CATEGORICAL, *own)) from None
