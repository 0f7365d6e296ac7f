"""What files of the user's hold: hashed once, and again where size or time of change differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from wherefrom.earth.fetch import cache_folder
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, seal, sha256_of, unsealed
from wherefrom.keys import key_of
from wherefrom.progress import progress, say

__all__ = ["content_of"]

#: Bytes from which on what was hashed is noted.
_MUCH = 1 << 26


def content_of(path: Path | str) -> str:
    """Hash all bytes of a file, or of the files of a folder and their names.

    What was hashed before is taken from a note in the cache where neither size nor time of change
    differ: 78 GB of tiles are read once, not at every plan.

    Raises
    ------
    WherefromError
        If there is no such file or folder.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("here")
    >>> content_of(folder) == content_of(folder), content_of(folder) == content_of(folder / "a.txt")
    (True, False)
    """
    path = Path(path)
    if not path.exists():
        raise WherefromError(f"no such file or folder: {path}")
    note = cache_folder() / "kept" / f"content-{key_of(str(path.absolute()))}.json"
    try:
        known = json.loads(bytes(unsealed(note)))
    except (OSError, ValueError):
        known = {}
    found, hashed = {}, 0
    files = list(_files(path))
    with progress() as bar:
        for file in bar.track(files, description=f"hashing {path.name}"):
            facts = file.stat()
            name = file.relative_to(path).as_posix()
            stamp = [facts.st_size, facts.st_mtime_ns]
            if known.get(name, [None])[:2] != stamp:
                known[name] = [*stamp, sha256_of(file)]
                hashed += facts.st_size
            found[name] = known[name]
    if hashed > _MUCH:
        try:
            with atomic(note) as tmp:
                tmp.write_text(json.dumps(found), encoding="utf-8")
                seal(tmp)
        except WherefromError as err:
            say(f"note: {err}. It is not needed now, only hashed again the next time")
    digest = hashlib.sha256()
    for name, (*_, sha) in sorted(found.items()):
        digest.update(f"{sha}  {name}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or those of a folder that are not hidden."""
    if path.is_file():
        yield path
        return
    for one in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
        if one.is_file() and not hidden:
            yield one
