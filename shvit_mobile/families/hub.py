"""Download of checkpoints from the model hub, and from the release of SHViT's authors."""

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
from shvit_mobile.errors import HubUnavailable, get_first_line

# The links in the authors' README. The release has no SHA-256, so a download is checked by its announced length and its
# first bytes.
OFFICIAL_RELEASE: dict[str, str] = {
    f"shvit_s{n}": f"https://github.com/ysj9909/SHViT/releases/download/v1.0/shvit_s{n}.pth" for n in (1, 2, 3, 4)
}
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?", re.ASCII)

MAX_DOWNLOAD_BYTES = 512 * 1024**2
_TIMEOUT_SECONDS = 10
_CHUNK_BYTES = 1024**2
_TORCH_MAGIC = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class _HubFiles:
    """The downloaded weights of a repository, and its config.json if it has one."""

    weights: Path
    config: Path | None


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
    for name in _WEIGHT_FILES:
        weights = _fetch_hub_file(repository, name, revision, offline)
        if weights:
            return _HubFiles(weights, _fetch_hub_file(repository, "config.json", revision, offline))
    if offline:
        raise HubUnavailable(
            f"{repository} could not be downloaded: {_get_hub_endpoint()} cannot be reached.",
            why="It is not in the hub's cache on this machine either.",
            hint=f"Download {_get_hub_endpoint()}/{repository}/resolve/{revision or 'main'}/{_WEIGHT_FILES[0]} "
            "by hand and pass the path of the file.",
        )
    raise HubUnavailable(f"{repository} contains no weights.", why=f"Looked for: {', '.join(_WEIGHT_FILES)}.")


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
        HubUnavailable: If there is no network, or the download is not a complete checkpoint.
    """
    url = OFFICIAL_RELEASE[variant]
    final = get_cache_folder() / url.rpartition("/")[2]
    if not final.is_file():
        try:
            download(url, final)
        except (OSError, http.client.HTTPException) as reason:
            raise HubUnavailable(
                f"{variant} could not be downloaded: {_describe_failure(reason)}.",
                why=f"It is in the authors' release: {url}",
                hint="Download it by hand and pass the path of the file.",
            ) from None
    return final


def download(url: str, final: Path) -> None:
    """Download the PyTorch checkpoint at `url` to `final`, whole or not at all; only over https, also after redirects.

    Raises:
        OSError: If the download fails or the file cannot be written.
        HubUnavailable: If the data are too long, too short or not a checkpoint.
    """
    if not url.startswith("https://"):
        raise HubUnavailable(f"{url} is not an https address.", why="Downloads use https only.")
    opener = urllib.request.build_opener(HttpsOnly)
    with (
        opener.open(url, timeout=_TIMEOUT_SECONDS) as response,
        write_atomically(final, overwrite=True) as (part,),
        part.open("wb") as file,
    ):
        announced = response.headers.get("Content-Length")
        received = _copy_limited(response, file, url)
        if announced is not None and announced.strip() != str(received):
            raise HubUnavailable(f"{url} broke off after {received} of {announced} bytes.", hint="Try again.")


def _copy_limited(response: IO[bytes], file: IO[bytes], url: str) -> int:
    """Copy a checkpoint and return its size; stop if it is too long or does not start like a checkpoint."""
    chunk = response.read(_CHUNK_BYTES)
    if not chunk.startswith(_TORCH_MAGIC):
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
