"""Why a stage is missing: the field in which it differs from one that was computed before."""

from __future__ import annotations

from typing import Any

from wherefrom.study.stage import Stage
from wherefrom.study.store import Store

__all__ = ["changes"]


def changes(store: Store, stage: Stage) -> list[str]:
    """Say which field of which spec makes a missing stage differ from a finished one.

    Parameters
    ----------
    store : Store
        Where finished stages are.
    stage : Stage
        The missing one.

    Returns
    -------
    list of str
        ``field: old -> new``, against the finished stage of the same label that differs in the
        fewest fields; empty if there is none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from wherefrom.study import Store, load, plan
    >>> stage = plan(load("studies/purohit2025", "debug")).stages[0]
    >>> changes(Store(pathlib.Path(tempfile.mkdtemp())), stage)
    []
    """
    best: list[str] | None = None
    for other in store.relatives(stage.kind, stage.label, stage.key):
        old, new = _flat(other["document"]), _flat(stage.document)
        found = [
            f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat
