"""Somebody else who uses the databases: other tables, and migrations."""

import contextlib
import json
import subprocess
import sys

from django.db import connections, transaction

from tests.backends.lmdb_processes import environment

#: How many tables are in a database beside those of an example, where there are others.
OTHER_TABLES = 300
#: Processes by alias, until the last test is done.
_processes = {}

_PROGRAM = """
import json, sys
from django.conf import settings
settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
import django
django.setup()
from tests.differential.strangers import run
for line in sys.stdin:
    run("default", json.loads(line))
    print("done", flush=True)
"""


def run(alias, statements):
    """Execute SQL statements in one transaction."""
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def other_tables(alias):
    """Make tables that nobody asks for."""
    columns = "id integer PRIMARY KEY, n integer NULL, t varchar(20) NULL"
    run(
        alias,
        (
            statement
            for n in range(OTHER_TABLES)
            for statement in (
                f'CREATE TABLE "other_{n}" ({columns})',
                f'CREATE INDEX "other_{n}_t" ON "other_{n}" (t, n)',
            )
        ),
    )


def migration(table):
    """
    Return the transactions of a migration, each the texts of its statements.

    The last ones take back what the first did, so that the table is as it was.
    """
    return (
        (
            "CREATE TABLE stranger (id integer PRIMARY KEY, n integer)",
            "INSERT INTO stranger (n) VALUES (1)",
            f'ALTER TABLE "{table}" ADD COLUMN stranger integer NULL',
        ),
        (
            "ALTER TABLE stranger RENAME TO odd",
            f'CREATE INDEX strange ON "{table}" (stranger)',
        ),
        ("DROP INDEX strange", f'ALTER TABLE "{table}" DROP COLUMN stranger'),
        ("DROP TABLE odd",),
    )


class MigratingProcess:
    """
    Another process that changes the schema of a database.

    :param settings: an entry of DATABASES.
    """

    def __init__(self, settings):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def parts(self, table):
        """Iterate over the transactions of a migration, each once it is done."""
        for part in migration(table):
            self._process.stdin.write(f"{json.dumps(part)}\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line == "done\n", self._process.communicate()[1]
            yield

    def close(self):
        """End the process."""
        self._process.communicate()


def migrating_process(alias):
    """Return the process that migrates a database; it is started once."""
    if alias not in _processes:
        settings = connections[alias].settings_dict
        _processes[alias] = MigratingProcess(
            {name: settings[name] for name in ("ENGINE", "NAME", "OPTIONS")}
        )
    return _processes[alias]


@contextlib.contextmanager
def processes():
    """End the processes that are started in this block."""
    try:
        yield
    finally:
        while _processes:
            _processes.popitem()[1].close()
