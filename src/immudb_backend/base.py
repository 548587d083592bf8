"""The backend by its short name."""

from backendkit.backends.immudb.base import DatabaseWrapper

__all__ = ["DatabaseWrapper"]
