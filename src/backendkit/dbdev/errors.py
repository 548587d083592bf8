"""What can go wrong, as one line for a person."""

from __future__ import annotations


class DbdevError(Exception):
    """It can't be done; the message says why, and what to do."""


class MissingProgramError(DbdevError):
    """A program isn't installed; the message says how to get it."""


class BackupError(DbdevError):
    """A backup can't be used: it isn't one, is damaged, or is another engine's."""
