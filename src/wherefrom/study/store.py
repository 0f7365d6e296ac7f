"""The content-addressed store: a finished stage is a folder named by the hash of its spec."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from wherefrom.files import atomic_folder

__all__ = ["Store", "versions"]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in ("wherefrom", "numpy", "scipy", "pyarrow", "torch", "scikit-learn"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


@dataclass(frozen=True)
class Store:
    """``root/<stage>/<key>/`` with spec.json, env.json, the payload and an empty file ``done``.

    A stage is written to a temporary folder and renamed, so that a folder either is whole or is
    not there, and any number of processes may share the store without locks.
    """

    root: Path

    def folder(self, kind: str, key: str) -> Path:
        """Return where a stage's result lies or will lie."""
        return self.root / kind / key

    def done(self, kind: str, key: str) -> bool:
        """Tell whether a stage's result is there."""
        return (self.folder(kind, key) / "done").exists()

    def partial(self, kind: str, key: str) -> Path:
        """Return the folder for checkpoints of a stage under way."""
        return self.root / "partial" / f"{kind}-{key}"

    @contextmanager
    def write(self, kind: str, key: str, spec: dict[str, Any]) -> Iterator[Path]:
        """Give a temporary folder for the payload; it takes its place when the block succeeds."""
        began = time.perf_counter()
        with atomic_folder(self.folder(kind, key)) as tmp:
            yield tmp
            env = {
                "seconds": round(time.perf_counter() - began, 3),
                "argv0": Path(sys.argv[0]).name,
            }
            (tmp / "spec.json").write_text(
                json.dumps(spec, indent=1, sort_keys=True), encoding="utf-8"
            )
            (tmp / "env.json").write_text(
                json.dumps(env | versions(), indent=1, sort_keys=True), encoding="utf-8"
            )
            (tmp / "done").touch()

    def seconds(self, kind: str, key: str) -> float:
        """Return how long a finished stage took."""
        env = json.loads((self.folder(kind, key) / "env.json").read_text(encoding="utf-8"))
        return float(env["seconds"])

    def relatives(self, kind: str, label: str, key: str) -> list[dict[str, Any]]:
        """Return the specs of finished stages with the same label but another key."""
        specs = []
        for file in sorted((self.root / kind).glob("*/spec.json")):
            if file.parent.name != key:
                spec = json.loads(file.read_text(encoding="utf-8"))
                if spec.get("label") == label:
                    specs.append(spec)
        return specs
