"""The studies that come with the package, found by their names."""

from __future__ import annotations

from pathlib import Path

import yaml

__all__ = ["FILE", "built_in", "located", "outline"]

#: Name of the study file in the folder of a study.
FILE = "study.yaml"
_PACKAGE = Path(__file__).resolve().parents[1]
#: Where they lie: in the package as it is installed; in a checkout two folders above it.
_FOLDERS = (_PACKAGE / "studies", _PACKAGE.parents[1] / "studies")


def built_in() -> dict[str, Path]:
    """Return the folder of every built-in study, by name.

    Examples
    --------
    >>> "purohit2025" in built_in()
    True
    """
    folder = next((one for one in _FOLDERS if one.is_dir()), None)
    files = sorted(folder.glob(f"*/{FILE}")) if folder else []
    return {file.parent.name: file.parent for file in files}


def located(study: Path | str) -> Path:
    """Return where a study lies: as it is given, or the folder of the built-in one of that name.

    What lies in the current folder under the name goes first.

    Examples
    --------
    >>> located("studies/purohit2025").as_posix()
    'studies/purohit2025'
    >>> located("purohit2025") == built_in()["purohit2025"]
    True
    """
    path = Path(study)
    if path.is_file() or (path / FILE).exists():
        return path
    return built_in().get(str(path), path)


def outline(folder: Path) -> tuple[str, list[str]]:
    """Return the title of a built-in study and the names of its scales.

    Examples
    --------
    >>> outline(located("studies/purohit2025"))[1]
    ['debug', 'laptop', 'paper']
    """
    content = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    return content["base"]["title"], list(content["scales"])
