"""Object storage by address: which kinds there are, what one asks of it, and its errors in words.

A kind of storage is one line in `KINDS`. What it needs of the environment stands in `VARIABLES`:
credentials are never part of an address, nor written anywhere.
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from wherefrom.errors import WherefromError, of_the_system, unknown
from wherefrom.files import ADDRESS

__all__ = [
    "KINDS",
    "PLACES",
    "VARIABLES",
    "Kind",
    "Object",
    "Remote",
    "at_once",
    "forget",
    "is_address",
    "remote",
    "split",
]

T = TypeVar("T")
R = TypeVar("R")

#: Variables of the environment that say where storage is and who asks: all machines of a study
#: need the same. Beside them the files and services count that each provider's own library asks
#: (``~/.aws``, the metadata service of a cloud's machines, a login of Google's or Azure's tools).
VARIABLES = {
    "s3": (
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
        "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_REGION", "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_EC2_METADATA_DISABLED",
    ),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"),
    "az": (
        "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID",
    ),
}  # fmt: skip
#: Those of them that are no secret: the nodes of a cluster get them of who asks.
PLACES = (
    "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
    "STORAGE_EMULATOR_HOST", "AZURE_STORAGE_ACCOUNT",
)  # fmt: skip
#: Seconds after which a first request without an answer is tried again, once; later ones have
#: more. An address where nobody answers is known after twice as long.
SOON = 6.0
#: Requests at once from one process.
_WIDTH = 16
#: Bytes read or written at once.
_BLOCK = 8 << 20


class Kind(NamedTuple):
    """A kind of storage."""

    #: Opens a file system for the part after ``://``, and returns the path in it. The first look
    #: is with little patience, so that what does not answer is soon said.
    open: Callable[[str, bool], tuple[Any, str]]
    #: Says where requests go; another endpoint is another store.
    endpoint: Callable[[], str]
    #: What its top folders are called.
    container: str
    #: What one must be allowed to do.
    rights: str
    #: What gives credentials.
    credentials: str


def _env(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _s3_endpoint() -> str:
    return _env("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def _s3(rest: str, patient: bool) -> tuple[Any, str]:
    """Open S3, or what speaks its language (MinIO, Ceph, R2) at an endpoint of its own."""
    from pyarrow import fs

    endpoint, region = _s3_endpoint(), _env("AWS_REGION", "AWS_DEFAULT_REGION")
    options: dict[str, Any] = {}
    if endpoint:
        parts = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
        options = {"scheme": parts.scheme, "endpoint_override": parts.netloc + parts.path}
    elif not region:
        region = fs.resolve_s3_region(rest.partition("/")[0])
    if bundle := _env("AWS_CA_BUNDLE"):
        options["tls_ca_file_path"] = bundle
    return fs.S3FileSystem(
        region=region or "us-east-1",
        connect_timeout=10 if patient else SOON,
        request_timeout=30 if patient else SOON,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=6 if patient else 2),
        allow_delayed_open=True,  # else even a small object takes three requests
        **options,
    ), rest


def _gs_endpoint() -> str:
    return _env("STORAGE_EMULATOR_HOST")


def _gs(rest: str, patient: bool) -> tuple[Any, str]:
    from pyarrow import fs

    options: dict[str, Any] = {}
    if endpoint := _gs_endpoint():
        parts = urlsplit(endpoint if "//" in endpoint else f"http://{endpoint}")
        options = {"scheme": parts.scheme, "endpoint_override": parts.netloc, "anonymous": True}
    limit = timedelta(seconds=60 if patient else SOON)
    return fs.GcsFileSystem(retry_time_limit=limit, **options), rest


def _az_endpoint() -> str:
    return f"{_az_said().get('AccountName', '')} {_az_said().get('BlobEndpoint', '')}".strip()


def _az_said() -> dict[str, str]:
    """Read what the environment says of the account, as Azure's own tools do."""
    pairs = (one.partition("=") for one in _env("AZURE_STORAGE_CONNECTION_STRING").split(";"))
    said = {name: text for name, _, text in pairs if name}
    names = {
        "AccountName": "AZURE_STORAGE_ACCOUNT",
        "AccountKey": "AZURE_STORAGE_KEY",
        "SharedAccessSignature": "AZURE_STORAGE_SAS_TOKEN",
    }
    return said | {name: text for name, variable in names.items() if (text := _env(variable))}


def _az(rest: str, patient: bool) -> tuple[Any, str]:
    """Open ``az://container/path`` of the environment's account.

    Or ``abfs://container@account.dfs.core.windows.net/path``, which names its account.
    """
    from pyarrow import fs

    said = _az_said()
    top, slash, below = rest.partition("/")
    container, _, host = top.partition("@")
    account = host.partition(".")[0] or said.get("AccountName", "")
    if not account:
        raise WherefromError(
            f"az://{rest}: no storage account is named: set AZURE_STORAGE_ACCOUNT (or "
            "AZURE_STORAGE_CONNECTION_STRING)"
        )
    options: dict[str, str] = {}
    if endpoint := said.get("BlobEndpoint"):
        parts = urlsplit(endpoint)
        for part in ("blob", "dfs"):
            options |= {f"{part}_storage_authority": parts.netloc}
            options |= {f"{part}_storage_scheme": parts.scheme}
    if key := said.get("AccountKey"):
        options["account_key"] = key
    elif token := said.get("SharedAccessSignature"):
        options["sas_token"] = token
    return fs.AzureFileSystem(account, **options), f"{container}{slash}{below}"


_S3_RIGHTS = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
_S3_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_GS_RIGHTS = "the role Storage Object Admin"
_GS_KEYS = "GOOGLE_APPLICATION_CREDENTIALS"
_AZ_RIGHTS = "the role Storage Blob Data Contributor"
_AZ_KEYS = "AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or a login (az login)"
_AZURE = Kind(_az, _az_endpoint, "container", _AZ_RIGHTS, _AZ_KEYS)

#: Kinds of storage by the scheme of their addresses.
KINDS: dict[str, Kind] = {
    "s3": Kind(_s3, _s3_endpoint, "bucket", _S3_RIGHTS, _S3_KEYS),
    "gs": Kind(_gs, _gs_endpoint, "bucket", _GS_RIGHTS, _GS_KEYS),
    "az": _AZURE,
    "abfs": _AZURE,
    "abfss": _AZURE,
}


def is_address(text: str) -> bool:
    """Tell an address from a folder.

    Examples
    --------
    >>> is_address("s3://bucket/studies"), is_address("runs/store")
    (True, False)
    """
    return bool(ADDRESS.match(text))


def split(address: str) -> tuple[Kind, str]:
    """Return the kind of storage and the part after ``://``.

    Raises
    ------
    WherefromError
        If no kind has that scheme, or no bucket is named.
    """
    scheme, _, rest = address.partition(":")
    if scheme not in KINDS:
        raise unknown("kind of storage", f"{scheme}://", [f"{one}://" for one in KINDS])
    if not rest.startswith("//"):
        raise WherefromError(f"{address}: an address has two slashes: {scheme}://{rest.strip('/')}")
    rest = "/".join(part for part in rest.split("/") if part)
    if not rest:
        raise WherefromError(f"{address}: name a {KINDS[scheme].container} in it")
    return KINDS[scheme], rest


class Object(NamedTuple):
    """An object below a prefix."""

    #: From the prefix on.
    name: str
    size: int
    #: When it was written by the clock of the storage, ns.
    time: int


def remote(address: str, endpoint: str) -> Remote:
    """Open an address once in a process; `endpoint` is that of its kind now.

    Raises
    ------
    WherefromError
        If it cannot be reached or read, or there is no such bucket.
    """
    with _OPENING:
        return _opened(address, endpoint)


_OPENING = threading.Lock()


@lru_cache(maxsize=8)
def _opened(address: str, _: str) -> Remote:
    kind, rest = split(address)
    with _in_words(address, kind, "read"):
        Remote(address, kind, *kind.open(rest, False)).look()
        return Remote(address, kind, *kind.open(rest, True))


def forget() -> None:
    """Open what is asked for next anew, such as with other credentials."""
    _opened.cache_clear()


@dataclass(frozen=True)
class Remote:
    """Objects below an address, by their names from there on.

    Every error of the storage is a WherefromError, but that an object is not there is a
    FileNotFoundError.
    """

    address: str
    kind: Kind
    fs: Any
    base: str

    def look(self) -> None:
        """Refuse a bucket that is not there, or may not be listed."""
        from pyarrow.fs import FileSelector

        # Listings, since their errors say why, where those of a mere look at a bucket are numbers.
        if self.fs.get_file_info(FileSelector(self.base, allow_not_found=True)):
            return
        try:
            self.fs.get_file_info(FileSelector(self.base.partition("/")[0]))
        except FileNotFoundError:
            raise WherefromError(_no_bucket(self.address, self.kind)) from None

    def listed(self, prefix: str) -> dict[str, Object]:
        """List the objects below a prefix, by their names from there on."""
        from pyarrow.fs import FileSelector, FileType

        top = f"{self.base}/{prefix}" if prefix else self.base
        with self._told("read", prefix):
            found = self.fs.get_file_info(FileSelector(top, allow_not_found=True, recursive=True))
        every = (
            Object(info.path[len(top) + 1 :], info.size or 0, info.mtime_ns or 0)
            for info in found
            if info.type == FileType.File
        )
        return {one.name: one for one in every}

    def stat(self, name: str) -> Object | None:
        """Look at one object; None if it is not there."""
        from pyarrow.fs import FileType

        with self._told("read", name):
            info = self.fs.get_file_info(f"{self.base}/{name}")
        if info.type != FileType.File:
            return None
        return Object(name, info.size or 0, info.mtime_ns or 0)

    def read(self, name: str) -> bytes:
        """Read a small object."""
        with self._told("read", name), self.fs.open_input_stream(f"{self.base}/{name}") as stream:
            return bytes(stream.read())

    def fetch(self, name: str, file: Path) -> str:
        """Copy an object into a file, and return its SHA-256."""
        digest = sha256()
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            file.open("wb") as out,
            self._told("read", name),
            self.fs.open_input_stream(f"{self.base}/{name}") as stream,
        ):
            while block := stream.read(_BLOCK):
                digest.update(block)
                out.write(block)
        return digest.hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """Write a small object: whole or not at all."""
        with self._told("write", name), self._target(name) as out:
            out.write(content)

    def send(self, file: Path, name: str) -> None:
        """Copy a file into an object. One who dies amid it may leave no object, or a part."""
        with file.open("rb") as stream, self._told("write", name), self._target(name) as out:
            while block := stream.read(_BLOCK):
                out.write(block)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._told("write", name):
            try:
                self.fs.delete_file(f"{self.base}/{name}")
            except FileNotFoundError:
                return

    def remove_all(self, prefix: str) -> None:
        """Remove what lies below a prefix."""
        with self._told("write", prefix):
            try:
                self.fs.delete_dir(f"{self.base}/{prefix}")
            except FileNotFoundError:
                return

    def ready(self) -> None:
        """Write a note, read it and take it away again, so that what is not allowed is known."""
        name, text = f"ready/{uuid.uuid4().hex}", b"wherefrom was here"
        self.write(name, text)
        found = self.read(name)
        self.remove(name)
        if found != text:
            raise WherefromError(f"{self.address}/{name} holds other bytes than were written")

    def _target(self, name: str) -> Any:
        path = f"{self.base}/{name}"
        try:
            return self.fs.open_output_stream(path)
        except FileNotFoundError:  # where folders are more than a part of a name
            self.fs.create_dir(path.rpartition("/")[0], recursive=True)
            return self.fs.open_output_stream(path)

    def _told(self, what: str, name: str) -> Any:
        return _in_words(self.address, self.kind, what, name)


#: What libraries of storage say -> what it means; the first that is found counts.
_SAID = [
    (r"time_?too_?skewed|difference between the request time", "clock"),
    (r"no_?such_?bucket|bucket does not exist|container ?(not ?found|does not exist)", "bucket"),
    (
        r"invalid_?access_?key|signature_?does_?not_?match|expired_?token|invalid_?client_?token"
        r"|token.{0,20}expired|authenticationfailed|unauthenticated|unrecognized_?client"
        r"|key id you provided does not exist",
        "refused",
    ),
    (r"oauth2 access token|defaultazurecredential|credential.{0,30}(unavailable|failed)", "none"),
    (r"access_?denied|permission_?denied|authorization|forbidden|http (code|status):? 403", "may"),
    (
        r"network_connection|connect|resolve host|timeout|timed out|unavailable|curl error",
        "reach",
    ),
    (r"slow_?down|too many requests|throttl", "busy"),
]


@contextmanager
def _in_words(address: str, kind: Kind, what: str, name: str = "") -> Iterator[None]:
    """Turn an error of a storage into one line that says what helps."""
    try:
        yield
    except (FileNotFoundError, WherefromError):
        raise
    except Exception as err:
        from pyarrow import ArrowException

        text = " ".join(str(err).split())
        foreign = isinstance(err, ArrowException) or (
            isinstance(err, OSError) and err.errno is None
        )
        if not foreign:  # of this machine's disk or memory: said by whoever writes there
            raise
        if said := of_the_system(err):
            raise WherefromError(f"{address}: {said}") from err
        means = next((m for words, m in _SAID if re.search(words, text, re.IGNORECASE)), "")
        if means == "may" and not _has_credentials(kind):
            means = "none"
        at = f"{address}/{name}" if name else address
        where = kind.endpoint() or "its endpoint"
        bucket = kind.container
        lines = {
            "clock": f"{at}: the storage refuses requests whose time is not its own: this "
            "machine's clock is off; set it (timedatectl set-ntp true)",
            "bucket": _no_bucket(address, kind),
            "refused": f"{at}: the credentials are refused as wrong or expired: correct "
            f"{kind.credentials}",
            "none": f"{at}: no credentials are found: set {kind.credentials}",
            "may": f"{at}: may not be {'written' if what == 'write' else 'read'} with these "
            f"credentials: they need {kind.rights} on the {bucket}",
            "reach": f"{at}: {where} does not answer: see that it runs, the network and the "
            "proxy, and that its address is right",
            "busy": f"{at}: the storage is too busy: use fewer workers, or try again later",
        }
        raise WherefromError(lines.get(means, f"{at}: {text}")) from err


def _no_bucket(address: str, kind: Kind) -> str:
    name = split(address)[1].partition("/")[0].partition("@")[0]
    at = f" at {kind.endpoint()}" if kind.endpoint() else ""
    return f"{address}: there is no {kind.container} {name!r}{at}: make it, or correct the address"


def _has_credentials(kind: Kind) -> bool:
    """Tell whether S3 was given any; the others say themselves that they have none."""
    if kind.open is not _s3:
        return True
    files = _env("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    given = VARIABLES["s3"][:1] + VARIABLES["s3"][3:4] + VARIABLES["s3"][6:10]
    return bool(_env(*given)) or Path(files).expanduser().exists()


_POOL: list[ThreadPoolExecutor] = []
_LOCK = threading.Lock()


def at_once(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do requests at once on the threads of this process that do nothing else."""
    some = list(items)
    if len(some) < 2:
        return [function(one) for one in some]
    with _LOCK:
        if not _POOL:
            _POOL.append(ThreadPoolExecutor(_WIDTH, thread_name_prefix="wherefrom-storage"))
    return list(_POOL[0].map(function, some))
