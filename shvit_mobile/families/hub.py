"""Download of checkpoints from the model hub, and from the release of SHViT's authors."""

import hashlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shvit_mobile.cache import get_cache_folder
from shvit_mobile.contracts.outputs import write_atomically
from shvit_mobile.errors import HubUnavailable, UnwritableOutput, get_first_line
from shvit_mobile.families.image_processor import PROCESSOR_NAME

# The links in the authors' README. The release has no SHA-256, so a download is checked by its announced length and its
# first bytes. Its SHA-256 is recorded beside it, and the copy is compared with that whenever it is read.
OFFICIAL_RELEASE: dict[str, str] = {
    f"shvit_s{n}": f"https://github.com/ysj9909/SHViT/releases/download/v1.0/shvit_s{n}.pth" for n in (1, 2, 3, 4)
}
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?", re.ASCII)

MAX_DOWNLOAD_BYTES = 512 * 1024**2
_TIMEOUT_SECONDS = 10
_CHUNK_BYTES = 1024**2
_TORCH_MAGIC = (b"PK\x03\x04", b"\x80")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class _HubFiles:
    """The downloaded weights of a repository, its config.json if it has one, and the commit that they are from."""

    weights: Path
    config: Path | None
    revision: str


def fetch_hub_files(source: str) -> _HubFiles:
    """Download the files of "org/name", "hf-hub:org/name" or "org/name@revision" from the model hub.

    If the hub cannot be reached, its cache on this machine is used.

    Raises:
        HubUnavailable: If there is no network and no copy in the cache, no such repository, or no weights in it.
    """
    parsed = HUB_ID.fullmatch(source)
    if not parsed:
        raise HubUnavailable(f"'{source}' is not a hub id.", why="A hub id looks like timm/shvit_s1.in1k.")
    repository, revision = parsed[1], parsed[2]
    offline = not is_hub_reachable()
    for name in WEIGHT_FILES:
        weights = _fetch_hub_file(repository, name, revision, offline)
        if weights:
            # The hub's client keeps files in folders named after commits.
            commit = weights.parent.name if _COMMIT.fullmatch(weights.parent.name) else ""
            config, processor = (
                _fetch_hub_file(repository, other, commit or revision, offline)
                for other in ("config.json", PROCESSOR_NAME)
            )
            return _HubFiles(weights, config or processor, commit)
    if offline:
        raise HubUnavailable(
            f"{repository} could not be downloaded: {_get_hub_endpoint()} cannot be reached.",
            why="It is not in the hub's cache on this machine either.",
            hint=f"Download {_get_hub_endpoint()}/{repository}/resolve/{revision or 'main'}/{WEIGHT_FILES[0]} "
            "by hand and pass the path of the file.",
        )
    raise HubUnavailable(f"{repository} contains no weights.", why=f"Looked for: {', '.join(WEIGHT_FILES)}.")


def _fetch_hub_file(repository: str, name: str, revision: str | None, offline: bool) -> Path | None:
    """Return a file of a repository, downloaded if necessary; None if the repository or the cache has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(
            hf_hub_download(
                repository, name, revision=revision, local_files_only=offline, etag_timeout=_TIMEOUT_SECONDS
            )
        )
    except EntryNotFoundError:
        return None
    except RepositoryNotFoundError:
        raise HubUnavailable(
            f"There is no {repository} on the model hub, or it is not open to you.",
            why="The SHViTs there are timm/shvit_s1.in1k to timm/shvit_s4.in1k.",
            hint="Check the spelling. For a private model, log in first: hf auth login",
        ) from None
    except RevisionNotFoundError:
        raise HubUnavailable(f"{repository} has no revision '{revision}'.", hint=f"Try: {repository}") from None
    except Exception as reason:  # versions of the hub's client raise errors of different HTTP libraries
        raise HubUnavailable(
            f"{name} of {repository} could not be downloaded: {_describe_failure(reason)}.",
            hint=f"Download {_get_hub_endpoint()}/{repository} by hand and pass the path of {name}.",
        ) from None


def _get_hub_endpoint() -> str:
    """Return the address of the model hub."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def is_hub_reachable() -> bool:
    """Return whether the hub responds; without this check its client retries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(
            urllib.request.Request(_get_hub_endpoint(), method="HEAD"), timeout=_TIMEOUT_SECONDS
        ).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as reason:
        # The client may know certificates that are missing from Python's store.
        return isinstance(reason.reason, ssl.SSLError)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def fetch_official_checkpoint(variant: str) -> Path:
    """Return the authors' checkpoint of a variant, from the cache or downloaded from their release.

    Raises:
        HubUnavailable: If there is no network, the download is not a complete checkpoint, or the copy in the cache is
            not the file that was downloaded.
    """
    url = OFFICIAL_RELEASE[variant]
    final = get_cache_folder() / url.rpartition("/")[2]
    record = final.with_name(f"{final.name}.sha256")
    if not final.is_file():
        _download_or_explain(url, final, variant, record=record, magic=_TORCH_MAGIC)
    digest = compute_sha256(final)
    if not record.is_file():  # downloaded by an earlier version
        with write_atomically(record) as (part,):
            part.write_text(digest, encoding="ascii")
    if record.read_text(encoding="ascii", errors="replace").strip() != digest:
        raise HubUnavailable(
            f"{final} is not the file that was downloaded: its SHA-256 is {digest}.",
            why=f"{record.name} beside it has another.",
            hint=f"Delete both to download {variant} again.",
        )
    return final


def fetch_url(url: str, sha256: str) -> Path:
    """Return the file at an https address, from the cache or downloaded.

    Args:
        url: The address.
        sha256: The SHA-256 of the file, in lower case; the cache is by it.

    Raises:
        HubUnavailable: If there is no network, or the file has another SHA-256.
    """
    final = get_cache_folder() / "downloads" / sha256
    if not final.is_file() or compute_sha256(final) != sha256:
        _download_or_explain(url, final, url, sha256=sha256)
    return final


def compute_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_or_explain(
    url: str,
    final: Path,
    name: str,
    *,
    record: Path | None = None,
    sha256: str | None = None,
    magic: tuple[bytes, ...] | None = None,
) -> None:
    """Download a checkpoint, and raise `HubUnavailable` with the way to do it by hand if that fails."""
    try:
        download(url, final, record=record, sha256=sha256, magic=magic)
    except (OSError, http.client.HTTPException, UnwritableOutput) as reason:
        why = f"It is in the authors' release: {url}" if name != url else ""
        raise HubUnavailable(
            f"{name} could not be downloaded: {_describe_failure(reason)}.",
            why=why,
            hint="Download it by hand and pass the path of the file.",
        ) from None


def download(
    url: str,
    final: Path,
    *,
    record: Path | None = None,
    sha256: str | None = None,
    magic: tuple[bytes, ...] | None = None,
) -> None:
    """Download the checkpoint at `url` to `final`, whole or not at all; only over https, also after redirects.

    Args:
        url: The address.
        final: The file to write.
        record: A file beside it that gets its SHA-256.
        sha256: The SHA-256 that it must have.
        magic: The first bytes that it may have.

    Raises:
        OSError: If the download fails or the file cannot be written.
        HubUnavailable: If the data are too long, too short or not the checkpoint.
    """
    if not url.startswith("https://"):
        raise HubUnavailable(f"{url} is not an https address.", why="Downloads use https only.")
    opener = urllib.request.build_opener(HttpsOnly)
    outputs = (final,) if record is None else (record, final)
    with (
        opener.open(url, timeout=_TIMEOUT_SECONDS) as response,
        write_atomically(*outputs, overwrite=True) as parts,
    ):
        announced = response.headers.get("Content-Length")
        with parts[-1].open("wb") as file:
            received = _copy_limited(response, file, url, magic)
        if announced is not None and announced.strip() != str(received):
            raise HubUnavailable(f"{url} broke off after {received} of {announced} bytes.", hint="Try again.")
        digest = compute_sha256(parts[-1])
        if sha256 is not None and digest != sha256:
            raise HubUnavailable(
                f"{url} returned a file with the SHA-256 {digest}.",
                why=f"Expected: {sha256}.",
                hint="The file changed, or the SHA-256 is of another one. Nothing was kept.",
            )
        if record is not None:
            parts[0].write_text(digest, encoding="ascii")


def _copy_limited(response: IO[bytes], file: IO[bytes], url: str, magic: tuple[bytes, ...] | None) -> int:
    """Copy a checkpoint and return its size; stop if it is too long or does not start like a checkpoint."""
    chunk = response.read(_CHUNK_BYTES)
    if magic is not None and not chunk.startswith(magic):
        raise HubUnavailable(
            f"{url} did not return a PyTorch checkpoint.",
            why="A proxy or a login page may have responded instead.",
            hint="Download it by hand and pass the path of the file.",
        )
    received = 0
    while chunk:
        received += len(chunk)
        if received > MAX_DOWNLOAD_BYTES:
            raise HubUnavailable(
                f"{url} is longer than {MAX_DOWNLOAD_BYTES} bytes.", why="The largest SHViT has a fifth of that."
            )
        file.write(chunk)
        chunk = response.read(_CHUNK_BYTES)
    return received


class HttpsOnly(urllib.request.HTTPRedirectHandler):
    """A redirect handler that follows only redirects to https addresses."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _describe_failure(reason: Exception) -> str:
    """Return the first line of the cause of a failed download, without a full stop."""
    cause = reason.reason if isinstance(reason, urllib.error.URLError) else reason
    cause = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
    return get_first_line(cause if isinstance(cause, Exception) else Exception(cause))
