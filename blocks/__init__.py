"""Prefect blocks: the outside world and how to reach it."""

from blocks.archive import AvatarArchive
from blocks.credentials import CometAPICredentials

__all__ = ["AvatarArchive", "CometAPICredentials"]
