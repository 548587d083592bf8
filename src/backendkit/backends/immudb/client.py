"""``dbshell``: immuclient, if it is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

from django.db.backends.base.client import BaseDatabaseClient

from backendkit.nonrel.client import DatabaseClient as NonrelDatabaseClient


class DatabaseClient(NonrelDatabaseClient):
    """Starts immuclient; a prompt of our own where it isn't installed."""

    executable_name = "immuclient"

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str]]:
        """Return command and environment: a password is for nobody else's eyes."""
        arguments = [
            cls.executable_name,
            f"--immudb-address={settings_dict.get('HOST') or '127.0.0.1'}",
            f"--immudb-port={settings_dict.get('PORT') or 3322}",
            f"--username={settings_dict.get('USER') or 'immudb'}",
            f"--database={settings_dict['NAME']}",
            *parameters,
        ]
        password = settings_dict.get("PASSWORD") or ""
        return arguments, {"IMMUCLIENT_PASSWORD": password}

    def runshell(self, parameters: Iterable[str]) -> None:
        """Run immuclient, or the prompt that all stores have."""
        if shutil.which(self.executable_name) is None:
            super().runshell(parameters)
        else:
            BaseDatabaseClient.runshell(self, parameters)
