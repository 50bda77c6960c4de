"""Where everything of a job lives in the archive: pure functions from ids to keys.

```
clips/ab/<job_id>.mp4           the clip
clips/ab/<job_id>.json          its sidecar: the mark that the job is done
clips/ab/<job_id>.jpg           its poster frame: can be made again at any time
speech/ab/<speech_id>.mp3       the speech of a text (or .wav, .m4a, .aac: what was delivered)
speech/ab/<speech_id>.json      its sidecar: the mark that it is made
speech/ab/<speech_id>.<sha256>.aside  a delivered sound that failed its checks
journal/ab/<job_id>/0001.json   what was done for the job, one entry a file, never changed
open/<job_id>.0001              there may be something to collect for this job
aside/<job_id>.<sha256>.mp4     a delivered file that failed its checks
learned/<name>.json             what was found out about the provider
schema/sidecar-<version>.json   JSON Schema of the sidecars
inbox/<digest>.json             what became of a piece of work in an inbox
results/<name>.results.jsonl    results of a manifest whose own place cannot be written
index.html                      the gallery: a page of all clips, which names its data
gallery/data-<digest>.js        what the page knows of some clips, never changed
gallery/linked.html             a page with signed links to all clips
budget/<account>/<2026-11>/000001.json  what an account has spent and reserved in a month, one page a change
budget/<account>/run-<id>/000001.json   the same for one run that has a budget of its own
```
"""

from __future__ import annotations

import hashlib
import re

CLIPS_PREFIX = "clips/"
JOURNAL_PREFIX = "journal/"
OPEN_PREFIX = "open/"
ASIDE_PREFIX = "aside/"
GALLERY_PREFIX = "gallery/"

GALLERY_KEY = "index.html"
LINKED_GALLERY_KEY = f"{GALLERY_PREFIX}linked.html"

_JOB_ID = re.compile(r"[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9a-z-]{1,80}")
_BOOK = re.compile(r"[0-9a-f-]{36}/(\d{4}-\d{2}|run-[0-9a-z-]{1,80})")
_OF_A_JOB = re.compile(
    r"clips/([0-9a-f]{2})/(\1[0-9a-f]{62})\.(?:mp4|json|jpg)|journal/([0-9a-f]{2})/(\3[0-9a-f]{62})/\d{4,}\.json"
)
_OPEN_KEY = re.compile(r"open/([0-9a-f]{64})\.(\d{4,})")


def clip_key(job_id: str) -> str:
    """Return the key of the clip of `job_id`."""
    return f"clips/{_shard(job_id)}/{job_id}.mp4"


def sidecar_key(job_id: str) -> str:
    """Return the key of the sidecar of `job_id`."""
    return f"clips/{_shard(job_id)}/{job_id}.json"


def poster_key(job_id: str) -> str:
    """Return the key of the poster frame of `job_id`."""
    return f"clips/{_shard(job_id)}/{job_id}.jpg"


def speech_key(speech_id: str, suffix: str = "mp3") -> str:
    """Return the key of the sound of `speech_id`."""
    return f"speech/{_shard(speech_id)}/{speech_id}.{suffix}"


def speech_sidecar_key(speech_id: str) -> str:
    """Return the key of the sidecar of `speech_id`."""
    return f"speech/{_shard(speech_id)}/{speech_id}.json"


def speech_aside_key(speech_id: str, sha256: str) -> str:
    """Return the key under which a sound of this digest that failed its checks is kept for inspection."""
    return f"speech/{_shard(speech_id)}/{speech_id}.{sha256}.aside"


def journal_key(job_id: str, number: int) -> str:
    """Return the key of entry `number` (from 1) in the journal of `job_id`."""
    return f"journal/{_shard(job_id)}/{job_id}/{number:04}.json"


def open_key(job_id: str, number: int) -> str:
    """Return the key of the mark that announces journal entry `number` of `job_id`."""
    _shard(job_id)
    return f"{OPEN_PREFIX}{job_id}.{number:04}"


def aside_key(job_id: str, sha256: str) -> str:
    """Return the key under which a file of this digest that failed its checks is kept for inspection."""
    _shard(job_id)
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256[:80]!r} is not a SHA-256 digest (64 hexadecimal digits)")
    return f"aside/{job_id}.{sha256}.mp4"


def learned_key(name: str) -> str:
    """Return the key under which something is remembered about the provider."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a name of small letters, digits and dashes")
    return f"learned/{name}.json"


def ledger_key(book: str, number: int) -> str:
    """Return the key of page `number` (from 1) of a ledger such as `<account>/2026-11`."""
    if not _BOOK.fullmatch(book):
        raise ValueError(f"{book[:80]!r} is not an account and a month or a run")
    return f"budget/{book}/{number:06}.json"


def schema_key(version: int) -> str:
    """Return the key of the JSON Schema of sidecars of this version."""
    return f"schema/sidecar-{version}.json"


def gallery_data_key(data: bytes) -> str:
    """Return the key of a piece of the gallery's data: by its content, so that it is never changed."""
    return f"{GALLERY_PREFIX}data-{hashlib.sha256(data).hexdigest()[:20]}.js"


def read_open_key(key: str) -> tuple[str, int] | None:
    """Return the job id and entry number that an open mark announces, or `None` for a foreign key."""
    match = _OPEN_KEY.fullmatch(key)
    return (match[1], int(match[2])) if match else None


def job_of(key: str) -> str | None:
    """Return the job that an object of a job is of, or `None` for a foreign key."""
    if mark := read_open_key(key):
        return mark[0]
    match = _OF_A_JOB.fullmatch(key)
    return match[2] or match[4] if match else None


def _shard(job_id: str) -> str:
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id[:80]!r} is not a job id (64 hexadecimal digits)")
    return job_id[:2]
