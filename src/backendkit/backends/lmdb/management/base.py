"""What the management commands of the LMDB backend have in common."""

from __future__ import annotations

import os

import lmdb
from django.core.management.base import CommandError

from backendkit.backends.lmdb.base import DatabaseWrapper
from backendkit.backends.lmdb.files import DATA_FILE
from backendkit.nonrel.commands import REFUSED, DatabaseCommand


class LMDBCommand(DatabaseCommand):
    """A command on a database of this backend that is there."""

    wrapper_class = DatabaseWrapper
    driver_errors = (lmdb.Error,)

    def wrapper(self, alias: str) -> DatabaseWrapper:
        wrapper: DatabaseWrapper = super().wrapper(alias)
        name = str(wrapper.settings_dict["NAME"])
        # To connect would make it.
        if not os.path.exists(os.path.join(name, DATA_FILE)):
            raise CommandError(f"There is no database in {name}.", returncode=REFUSED)
        return wrapper
