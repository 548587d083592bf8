"""
Settings by the names that they have in django_dbdev.

Each is read where its new name isn't set, with a warning that names the new one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

#: The old name, by the new one.
RENAMED: Mapping[str, str] = {
    "DBDEV_POSTGRES_LOCALE": "DBDEV_POSTGRES_CREATEDB_LOCALE",
    # The path of pg_ctl told where initdb and postgres are.
    "DBDEV_POSTGRES_BINDIR": "DBDEV_POSTGRES_PG_CTL_EXECUTABLE",
    "DBDEV_MYSQL_MYSQLD_EXECUTABLE": "DBDEV_MYSQLD_EXECUTABLE",
    "DBDEV_MYSQL_MYSQLDUMP_EXECUTABLE": "DBDEV_MYSQLDUMP_EXECUTABLE",
}
#: Names of programs that nothing runs any more.
UNUSED = ("DBDEV_POSTGRES_CREATEDB_EXECUTABLE", "DBDEV_MYSQLADMIN_EXECUTABLE")
# Of these, the value is the folder of the program that the old setting names.
_FOLDERS = {"DBDEV_POSTGRES_BINDIR"}
# django_dbdev reads this setting alone from the environment, too, as is done for paths
# of programs here.
_IN_ENVIRONMENT = {"DBDEV_MYSQL_BASEDIR"}


def read(settings: Any, name: str, default: Any = None) -> Any:
    """
    Return a setting, by its own name or by that of django_dbdev.

    :param settings: Django's, or any object with such attributes.
    :param name: the new name. Paths of programs are looked for in the environment, too.
    :param default: what to return if neither is set.
    """
    found = _named(settings, name)
    old = RENAMED.get(name)
    if found is not None or old is None:
        return default if found is None else found
    found = _named(settings, old)
    if found is None:
        return default
    _warn(f"The setting {old} is deprecated. Rename it to {name}.")
    return os.path.dirname(os.fspath(found)) if name in _FOLDERS else found


def warn_of_unused(settings: Any) -> None:
    """Warn of old settings that nothing reads."""
    for name in UNUSED:
        if _named(settings, name) is not None:
            _warn(
                f"The setting {name} has no effect, because no command runs that"
                " program. Remove it."
            )


def _named(settings: Any, name: str) -> Any:
    found = getattr(settings, name, None)
    if (found is None or found == "") and (
        name.endswith("_EXECUTABLE") or name in _IN_ENVIRONMENT
    ):
        found = os.environ.get(name)
    return None if found == "" else found


def _warn(text: str) -> None:
    # A FutureWarning is shown by default; a DeprecationWarning wouldn't be.
    warnings.warn(text, FutureWarning, stacklevel=3)
