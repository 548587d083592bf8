"""What the management commands of the immudb backend have in common."""

from __future__ import annotations

from backendkit.backends.immudb.base import DatabaseWrapper
from backendkit.nonrel.commands import DatabaseCommand


class ImmudbCommand(DatabaseCommand):
    """A command on a database of this backend."""

    wrapper_class = DatabaseWrapper
