"""What it takes to check a request: nothing that could send, spend or write."""

from __future__ import annotations

from typing import Any

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials
from flows.tasks.once import Once


class Checking:
    """What the checks of a run share.

    Attributes:
        credentials: Settings of the provider's account: limits and prices; the key is not used.
        place: Settings of the archive, whose keys also read inputs on S3; `None` where there is none.
        inputs: What was found out about each image and audio, by parameter and reference.
    """

    def __init__(self, credentials: CometAPICredentials, place: AvatarArchive | None) -> None:
        self.credentials = credentials
        self.place = place
        self.inputs: Once[Any] = Once()
