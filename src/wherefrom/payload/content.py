"""What files of the user's hold: hashed once, and again where size or time of change differ."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import NamedTuple

from wherefrom.earth.fetch import cache_folder
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, seal, sha256_of, unsealed, walked
from wherefrom.keys import key_of
from wherefrom.progress import progress, say

__all__ = ["Content", "content_of"]

#: Bytes from which on what was hashed is noted.
_MUCH = 1 << 26


class Content(NamedTuple):
    """What a file or a folder holds: a hash of that, and how many bytes they are."""

    key: str
    bytes: int


def content_of(path: Path | str) -> Content:
    """Hash all bytes of a file, or of the files of a folder and their names.

    Files that are hidden count nowhere. What was hashed before is taken from a note in the cache
    where neither size nor time of change differ: 78 GB of tiles are read once, not at every plan.

    Raises
    ------
    WherefromError
        If there is no such file or folder, or it cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("here")
    >>> content_of(folder).bytes, content_of(folder).key == content_of(folder / "a.txt").key
    (4, False)
    """
    path = Path(path)
    if not path.exists():
        raise WherefromError(f"{path}: no such file or folder")
    note = cache_folder() / "kept" / f"content-{key_of(str(path.absolute()))}.json"
    try:
        known = json.loads(bytes(unsealed(note)))
    except (OSError, ValueError):
        known = {}
    found, hashed = {}, 0
    files = [path] if path.is_file() else list(walked(path))
    try:
        with progress() as bar:
            for file in bar.track(files, description=f"hashing {path.name}"):
                try:
                    facts = file.stat()
                except FileNotFoundError:  # a link to nothing
                    continue
                if not stat.S_ISREG(facts.st_mode):
                    continue
                name = file.relative_to(path).as_posix()
                stamp = [facts.st_size, facts.st_mtime_ns]
                if known.get(name, [None])[:2] != stamp:
                    known[name] = [*stamp, sha256_of(file)]
                    hashed += facts.st_size
                found[name] = known[name]
    except OSError as err:
        raise WherefromError(f"{err.filename}: cannot be read: {err.strerror}") from err
    if hashed > _MUCH:
        try:
            with atomic(note) as tmp:
                tmp.write_text(json.dumps(found), encoding="utf-8")
                seal(tmp)
        except WherefromError as err:
            say(f"note: {err}. It is not needed now, only hashed again the next time")
    size = sum(one for one, *_ in found.values())
    if path.is_file():
        return Content(key_of([found["."][2]]), size)
    digest = hashlib.sha256()
    for name, (*_, sha) in sorted(found.items()):
        digest.update(f"{sha}  {name}\n".encode())
    return Content(digest.hexdigest(), size)
