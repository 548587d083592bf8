"""The servers that a project's tests need: started before them, stopped after them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from backendkit.dbdev.base import BaseDbdevBackend, Writer, backend_of
from backendkit.dbdev.project import known_databases


class _Quiet:
    """Writes nothing: a test run has output of its own."""

    def write(self, msg: str, /) -> object:
        return None


class _ToStandardError:
    def write(self, msg: str, /) -> object:
        return sys.stderr.write(f"{msg}\n")


class QuietCommand:
    """Stands for a management command, and tells errors and warnings alone."""

    stdout: Writer = _Quiet()
    stderr: Writer = _ToStandardError()


class TestServers:
    """
    Starts servers that aren't running, and later stops those that it has started.

    :param aliases: as in ``DATABASES``; None: all whose entries come from
        :func:`backendkit.dbdev.dbsettings`.
    """

    # It is no test, in spite of its name.
    __test__ = False

    def __init__(self, aliases: Iterable[str] | None = None) -> None:
        if aliases is None:
            databases = known_databases()
            aliases = [alias for alias in databases if "DBDEV" in databases[alias]]
        self._aliases = list(aliases)
        self._started: list[BaseDbdevBackend] = []

    def start(self) -> None:
        """
        Start the servers, and create those that don't exist yet.

        :raises DbdevError: a server can't be started. Those that were started are
            stopped again.
        """
        try:
            for alias in self._aliases:
                backend = backend_of(QuietCommand(), alias)
                with backend.locked():
                    if backend.is_running():
                        continue
                    backend.init()
                    self._started.append(backend)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the servers that :meth:`start` has started, and keep their data."""
        while self._started:
            backend = self._started.pop()
            with backend.locked():
                backend.quiesce()


class DbdevRunnerMixin:
    """
    For ``TEST_RUNNER``: before Django's runner, or another one, among the bases.

    ::

        class Runner(DbdevRunnerMixin, DiscoverRunner):
            pass
    """

    def setup_databases(self, **kwargs: Any) -> Any:
        """Start the servers before the test databases are created."""
        self._servers = TestServers()
        self._servers.start()
        try:
            return super().setup_databases(**kwargs)  # type: ignore[misc]  # the runner has it
        except BaseException:
            self._servers.stop()
            raise

    def teardown_databases(self, old_config: Any, **kwargs: Any) -> None:
        """Stop the servers after the test databases were removed."""
        try:
            super().teardown_databases(old_config, **kwargs)  # type: ignore[misc]  # the runner has it
        finally:
            self._servers.stop()
