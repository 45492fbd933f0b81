"""Checkpoints that are not here yet: timm's and others' from the model hub, the authors' from their release."""

from __future__ import annotations

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
from shvit_mobile.errors import HubUnavailable

# The links in the authors' README. The release publishes no SHA-256, so there is nothing to compare a download with but
# its announced length and its first bytes; load_checkpoint gives the SHA-256 of what came.
OFFICIAL_RELEASE: dict[str, str] = {
    f"shvit_s{n}": f"https://github.com/ysj9909/SHViT/releases/download/v1.0/shvit_s{n}.pth" for n in (1, 2, 3, 4)
}
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?", re.ASCII)

MAX_DOWNLOAD_BYTES = 512 * 1024**2
TIMEOUT_SECONDS = 10
CHUNK_BYTES = 1024**2
TORCH_MAGIC = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class HubFiles:
    """A repository's weights and its config.json, where it has one, as files here."""

    weights: Path
    config: Path | None


def fetch_hub_files(source: str) -> HubFiles:
    """The files of "org/name" on the model hub, perhaps with "hf-hub:" before and "@revision" after it.

    From the hub's own cache where the hub cannot be reached.

    Raises:
        HubUnavailable: there is no network and no copy in the cache, no such repository, or no weights in it.
    """
    parsed = HUB_ID.fullmatch(source)
    if not parsed:
        raise HubUnavailable(f"'{source}' is not a hub id.", why="One such as timm/shvit_s1.in1k.")
    repository, revision = parsed[1], parsed[2]
    here_only = not is_hub_reachable()
    for name in WEIGHT_FILES:
        weights = fetch_hub_file(repository, name, revision, here_only)
        if weights:
            return HubFiles(weights, fetch_hub_file(repository, "config.json", revision, here_only))
    if here_only:
        raise HubUnavailable(
            f"{repository} could not be downloaded: {get_hub_endpoint()} cannot be reached.",
            why="It is not in the hub's cache on this machine either.",
            hint=f"Download {get_hub_endpoint()}/{repository}/resolve/{revision or 'main'}/{WEIGHT_FILES[0]} "
            "by hand and give the path of the file.",
        )
    raise HubUnavailable(f"{repository} holds no weights.", why=f"Looked for: {', '.join(WEIGHT_FILES)}.")


def fetch_hub_file(repository: str, name: str, revision: str | None, offline: bool) -> Path | None:
    """One file of a repository, downloaded if need be; None where the repository, or the cache, has no such file."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(
            hf_hub_download(repository, name, revision=revision, local_files_only=offline, etag_timeout=TIMEOUT_SECONDS)
        )
    except EntryNotFoundError:
        return None
    except RepositoryNotFoundError:
        raise HubUnavailable(
            f"There is no {repository} on the model hub, or it is not open to you.",
            why="The SHViTs there are timm/shvit_s1.in1k to timm/shvit_s4.in1k.",
            hint="Look at the spelling; for a private model, log in first: hf auth login",
        ) from None
    except RevisionNotFoundError:
        raise HubUnavailable(f"{repository} has no revision '{revision}'.", hint=f"Try: {repository}") from None
    except Exception as reason:  # the hub's client changes its HTTP library, and with it these errors, between versions
        raise HubUnavailable(
            f"{name} of {repository} could not be downloaded: {get_first_line(reason)}.",
            hint=f"Download {get_hub_endpoint()}/{repository} by hand and give the path of {name}.",
        ) from None


def get_hub_endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def is_hub_reachable() -> bool:
    """Whether the hub answers at all; asked first because its client retries for half a minute where nothing does."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(
            urllib.request.Request(get_hub_endpoint(), method="HEAD"), timeout=TIMEOUT_SECONDS
        ).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as reason:
        # The client may know certificates that Python's own store lacks.
        return isinstance(reason.reason, ssl.SSLError)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def fetch_official_checkpoint(variant: str) -> Path:
    """The authors' checkpoint of a variant: from this package's cache, else from their release.

    Raises:
        HubUnavailable: there is no network, or what came is not a whole checkpoint.
    """
    url = OFFICIAL_RELEASE[variant]
    final = get_cache_folder() / url.rpartition("/")[2]
    if not final.is_file():
        try:
            download(url, final)
        except (OSError, http.client.HTTPException) as reason:
            raise HubUnavailable(
                f"{variant} could not be downloaded: {get_first_line(reason)}.",
                why=f"It is in the authors' release: {url}",
                hint="Download it by hand and give the path of the file.",
            ) from None
    return final


def download(url: str, final: Path) -> None:
    """Puts what is at `url`, a PyTorch checkpoint, at `final`, whole or not at all; over https only, redirects too.

    Raises:
        OSError: it could not be had, or the file could not be written.
        HubUnavailable: what came is too long, too short or no checkpoint.
    """
    if not url.startswith("https://"):
        raise HubUnavailable(f"{url} is not an https address.", why="Nothing is downloaded over an open line.")
    opener = urllib.request.build_opener(HttpsOnly)
    with (
        opener.open(url, timeout=TIMEOUT_SECONDS) as response,
        write_atomically(final, overwrite=True) as (part,),
        part.open("wb") as file,
    ):
        announced = response.headers.get("Content-Length")
        received = copy_limited(response, file, url)
        if announced is not None and announced.strip() != str(received):
            raise HubUnavailable(f"{url} broke off after {received} of {announced} bytes.", hint="Try again.")


def copy_limited(response: IO[bytes], file: IO[bytes], url: str) -> int:
    """Copies a checkpoint and returns its bytes; stops where they are too many, or begin as no checkpoint does."""
    chunk = response.read(CHUNK_BYTES)
    if not chunk.startswith(TORCH_MAGIC):
        raise HubUnavailable(
            f"{url} gave something that is no PyTorch checkpoint.",
            why="A proxy or a login page may have answered in its place.",
            hint="Download it by hand and give the path of the file.",
        )
    received = 0
    while chunk:
        received += len(chunk)
        if received > MAX_DOWNLOAD_BYTES:
            raise HubUnavailable(
                f"{url} is longer than {MAX_DOWNLOAD_BYTES} bytes.", why="The largest SHViT is a fifth of that."
            )
        file.write(chunk)
        chunk = response.read(CHUNK_BYTES)
    return received


class HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses and no others."""

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
            raise urllib.error.URLError(f"it was redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def get_first_line(reason: Exception) -> str:
    """What an error says, in one line without a full stop."""
    said = reason.reason if isinstance(reason, urllib.error.URLError) else reason
    said = said.strerror if isinstance(said, OSError) and said.strerror else said
    return (str(said).strip().partition("\n")[0] or type(reason).__name__).removesuffix(".")
