"""What can go wrong, as one line for a person."""

from __future__ import annotations


class DbdevError(Exception):
    """A command failed. The message says why, and what to do."""


class MissingProgramError(DbdevError):
    """A program isn't installed. The message says how to install it."""


class BackupError(DbdevError):
    """A backup can't be used: it is damaged, of another engine, or not a backup."""
