"""Files at an address: copied into the cache once, and again when they have changed there."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from wherefrom.earth.fetch import cache_folder
from wherefrom.errors import WherefromError
from wherefrom.files import atomic, disk_errors
from wherefrom.keys import key_of
from wherefrom.progress import progress, say
from wherefrom.remote import KINDS, remote, split

__all__ = ["here"]

_ADDRESS = re.compile(r"(https?|hf|file|[a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
#: Seconds without an answer after which a server is given up.
_PATIENCE = 30.0
_BLOCK = 1 << 20


def here(path: Path | str) -> Path:
    """Return where a file or folder lies on this machine; one at an address is copied first.

    Parameters
    ----------
    path : Path or str
        A path, or ``https://...``, ``hf://datasets/OWNER/NAME/FILE`` (the Hugging Face hub's main
        version), ``s3://``, ``gs://``, ``az://`` or ``abfs://``: an object, or all Parquet files
        below a prefix. Credentials are those of the environment (docs/scale.md).

    Returns
    -------
    Path
        In the cache (``WHEREFROM_CACHE``) where it was an address: the copy is taken again as
        long as the server says that nothing has changed, and copied anew where it does not say.

    Raises
    ------
    WherefromError
        If the address is of no kind that is known, nothing is there, it may not be read, or
        nobody answers.

    Examples
    --------
    >>> here("tiles.parquet")
    PosixPath('tiles.parquet')
    """
    text = os.fspath(path)
    found = _ADDRESS.fullmatch(text)
    # A path has lost one of its strokes.
    if found is None or Path(text).exists():
        return Path(path)
    scheme, rest = found.groups()
    if scheme == "file":
        return Path("/" + rest)
    address = f"{scheme}://{rest}"
    if scheme == "hf":
        parts = rest.split("/", 3)
        if len(parts) < 4 or parts[0] != "datasets":
            raise WherefromError(f"{address}: name a file as hf://datasets/OWNER/NAME/FILE")
        web = f"https://huggingface.co/datasets/{parts[1]}/{parts[2]}/resolve/main/{parts[3]}"
        return _from_web(web, address)
    if scheme in ("http", "https"):
        return _from_web(address, address)
    if scheme not in KINDS:
        known = ", ".join(f"{one}://" for one in ("https", "hf", *KINDS))
        raise WherefromError(f"{address}: nothing is read from {scheme}://; known are {known}")
    return _from_storage(address)


def _kept(address: str, name: str) -> Path:
    return cache_folder() / "addresses" / key_of(address) / name


def _noted(copy: Path) -> Any:
    try:
        return json.loads(copy.with_name(copy.name + ".from").read_text())
    except (OSError, ValueError):
        return None


def _note(copy: Path, state: Any) -> None:
    with atomic(copy.with_name(copy.name + ".from")) as tmp:
        tmp.write_text(json.dumps(state))


def _from_web(web: str, address: str) -> Path:
    name = re.sub(r"[?#].*", "", web).rstrip("/").rpartition("/")[2] or "file"
    copy = _kept(address, name)
    request = urllib.request.Request(web, headers={"User-Agent": "wherefrom"})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            size = answer.headers.get("Content-Length")
            marks = [answer.headers.get("ETag") or answer.headers.get("Last-Modified"), size]
            if marks[0] and copy.exists() and _noted(copy) == marks:
                return copy
            with atomic(copy) as tmp, tmp.open("wb") as out, progress() as bar:
                task = bar.add_task(f"copying {name}", total=int(size) if size else None)
                while block := answer.read(_BLOCK):
                    out.write(block)
                    bar.update(task, advance=len(block))
                if size and out.tell() != int(size):
                    raise WherefromError(
                        f"{address}: the copy broke off after {out.tell():,} of {int(size):,} "
                        "bytes: try again"
                    )
    except urllib.error.HTTPError as err:
        why = {401: "it may not be read", 403: "it may not be read", 404: "nothing is there"}
        raise WherefromError(
            f"{address}: {why.get(err.code, f'the server says {err.code} {err.reason}')}: correct "
            "the address, or download the file and name it"
        ) from err
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as err:
        reason = getattr(err, "reason", err)
        raise WherefromError(
            f"{address}: nobody answers ({reason}): see the network and the address, or download "
            "the file elsewhere and name it"
        ) from err
    _note(copy, marks)
    say(f"{address}: copied to {copy}")
    return copy


def _from_storage(address: str) -> Path:
    kind, rest = split(address)
    parent, _, name = rest.rpartition("/")
    if not parent:
        raise WherefromError(f"{address}: name a file or folder in the {kind.container}")
    scheme = address.partition(":")[0]
    there = remote(f"{scheme}://{parent}", kind.endpoint())
    copy = _kept(f"{kind.endpoint()} {address}", name)
    if one := there.stat(name):
        state: Any = [one.size, one.time]
        if copy.is_file() and _noted(copy) == state:
            return copy
        with atomic(copy) as tmp:
            there.fetch(name, tmp)
    else:
        # A folder is a pool of Parquet files: what lies beside them is noted too.
        found = there.listed(name)
        if not any(each.endswith((".parquet", ".geoparquet", ".parq", ".pq")) for each in found):
            raise WherefromError(f"{address}: no file is there, nor Parquet files below")
        state = [[each.name, each.size, each.time] for each in found.values()]
        if copy.is_dir() and _noted(copy) == state:
            return copy
        if copy.exists():
            shutil.rmtree(copy)
        with progress() as bar:
            task = bar.add_task(f"copying {name}", total=sum(each.size for each in found.values()))
            for each in found.values():
                with disk_errors(copy):
                    there.fetch(f"{name}/{each.name}", copy / each.name)
                bar.update(task, advance=each.size)
    _note(copy, state)
    say(f"{address}: copied to {copy}")
    return copy
