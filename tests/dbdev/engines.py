"""The kinds of databases that are tried, and what each of them needs."""

import importlib.util
import os
import types
from dataclasses import dataclass

import pytest

from backendkit.backends.immudb import server as immudb
from backendkit.dbdev import backendregistry
from backendkit.dbdev.configuring import ENGINES


@dataclass(frozen=True)
class Engine:
    """
    :param name: for ``dbsettings``.
    :param modules: Python modules that it needs.
    :param before: Python text for ``manage.py``, before there are settings.
    :param in_ci: whether CI has to have it.
    """

    name: str
    modules: tuple[str, ...] = ()
    before: str = ""
    has_server: bool = True
    in_ci: bool = True

    def settings(self, alias="default", **changes):
        """Python text of an entry of ``DATABASES``."""
        more = "".join(f", {name}={value!r}" for name, value in changes.items())
        return f"dbsettings({self.name!r}, BASE_DIR, {alias!r}{more})"

    def backend(self):
        return backendregistry.get(ENGINES[self.name])

    def missing(self):
        """What isn't there, as a sentence."""
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"needs the Python package {module}"
        backend = self.backend()
        if self.name == "immudb":
            try:
                immudb.find()
            except immudb.ServerNotFound as error:
                return str(error)
        # Where programs are looked for depends on data and settings: there are none.
        instance = types.SimpleNamespace(
            setting=lambda name, default=None: default, _data_version=lambda: None
        )
        folders = backend.program_folders(instance)
        for program in backend.programs(instance):
            if program.find(None, folders) is None:
                return f"needs the program {program.name}: {program.hint()}"
        return None


SQLITE = Engine("sqlite", has_server=False)
LMDB = Engine("lmdb", ("lmdb", "msgspec"), has_server=False)
POSTGRESQL = Engine("postgresql", ("psycopg",))
# Not MySQLdb, which Django names: that is under the GPL, and has to be compiled.
MARIADB = Engine(
    "mariadb", ("pymysql",), "import pymysql; pymysql.install_as_MySQLdb()"
)
IMMUDB = Engine("immudb", ("grpc",))
# Its ENGINE, the worked example, is on no path of a project that is made here.
REDIS = Engine("redis", ("redis",))

ALL = [SQLITE, LMDB, POSTGRESQL, MARIADB, IMMUDB]
SERVERS = [engine for engine in ALL if engine.has_server]


def params(kinds, quick):
    """
    Parameters of a fixture, each named after its kind of database.

    :param quick: those that ``make test`` tries; the others are for ``make check``.
    """
    return [
        pytest.param(
            engine,
            id=engine.name,
            marks=[] if engine in quick else pytest.mark.check,
        )
        for engine in kinds
    ]


def available(engine):
    """Skip the test if a program isn't there; in CI all have to be."""
    missing = engine.missing()
    if missing:
        assert not (os.environ.get("CI") and engine.in_ci), missing
        pytest.skip(missing)
    return engine
