"""How far a move has come, and who moves: a table in the target while it goes on."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.db import Error, IntegrityError, connections, models, transaction

from backendkit.move.errors import MoveError

TABLE = "backendkit_move"
_LOCK, _PLAN = "lock", "plan"


def _make_model() -> Any:
    """Return the model of the table, which the project's apps don't know."""

    class Entry(models.Model):
        name = models.CharField(max_length=190, primary_key=True)
        owner = models.CharField(max_length=200, default="")
        value = models.TextField(default="")

        class Meta:
            apps = Apps()
            app_label = "backendkit_move"
            db_table = TABLE

        def __str__(self) -> str:
            return str(self.name)

    return Entry


@dataclass(frozen=True)
class Owner:
    """
    A process that moves.

    :param host: the name of its machine.
    :param pid: its number there.
    :param token: random, so that no two are the same.
    """

    host: str
    pid: int
    token: str

    @classmethod
    def this(cls) -> Owner:
        """Return this process."""
        return cls(socket.gethostname()[:100], os.getpid(), secrets.token_hex(8))

    @classmethod
    def read(cls, text: str) -> Owner:
        """Return what :meth:`__str__` made text of."""
        host, pid, token = text.rsplit(" ", 2)
        return cls(host, int(pid), token)

    def __str__(self) -> str:
        return f"{self.host} {self.pid} {self.token}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known that there is no such process any more."""
        if self.host != socket.gethostname()[:100]:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


class State:
    """
    The table ``backendkit_move`` of a target.

    Each batch is committed together with how far it comes, and only if the lock is
    still this process's: so a batch is never written twice, or by two processes.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._model = _make_model()
        self._owner = str(Owner.this())

    def _entries(self) -> Any:
        return models.QuerySet(self._model, using=self._alias)

    def exists(self) -> bool:
        """Return whether a move into the target is going on, or was interrupted."""
        connection = connections[self._alias]
        return TABLE in connection.introspection.table_names()

    def acquire(self, *, take_over: bool) -> None:
        """
        Make the table if it isn't there; take the lock.

        :raises MoveError: another process has it, which isn't known to be dead.
        """
        if not self.exists():
            try:
                with connections[self._alias].schema_editor() as editor:
                    editor.create_model(self._model)
            except Error:
                if not self.exists():  # else another one was faster
                    raise
        held = self._entries().filter(name=_LOCK).values_list("owner", "value").first()
        if held is None:
            try:
                with transaction.atomic(using=self._alias):
                    self._insert(_LOCK, self._now(), self._owner)
            except IntegrityError:
                raise self._busy() from None
            return
        owner, heard = held
        if owner and not take_over and not Owner.read(owner).is_dead:
            raise self._busy(owner, heard)
        with transaction.atomic(using=self._alias):
            taken = (
                self._entries()
                .filter(name=_LOCK, owner=owner)
                .update(owner=self._owner, value=self._now())
            )
        if not taken:
            raise self._busy()

    def _busy(self, owner: str = "", heard: str = "") -> MoveError:
        who = ""
        if owner:
            found = Owner.read(owner)
            ago = max(time.time() - float(heard), 0)
            who = f" (process {found.pid} on {found.host}, last active {ago:.0f} s ago)"
        return MoveError(
            f"Another move to {self._alias!r} is running{who}. Wait until it has"
            " ended. If you know that its process has died, replace it with --resume"
            " --take-over. If it is alive after all, it then stops at its next batch."
        )

    def release(self) -> None:
        """Give the lock back; how far the move has come stays."""
        with transaction.atomic(using=self._alias):
            self._entries().filter(name=_LOCK, owner=self._owner).update(owner="")

    def beat(self) -> None:
        """
        Say that this process lives, within the transaction of a batch.

        :raises MoveError: another process has taken the lock.
        """
        mine = self._entries().filter(name=_LOCK, owner=self._owner)
        if not mine.update(value=self._now()):
            raise MoveError(
                f"Another process has taken over the move to {self._alias!r}. This"
                " process stops. The rows that it has committed are kept."
            )

    def drop(self) -> None:
        """Remove the table: the move is complete."""
        with connections[self._alias].schema_editor() as editor:
            editor.delete_model(self._model)

    def plan(self) -> dict[str, Any] | None:
        """Return what :meth:`begin` was given; None if nothing has begun."""
        text = self._entries().filter(name=_PLAN).values_list("value", flat=True)
        for found in text:
            return dict(json.loads(found))
        return None

    def begin(self, plan: dict[str, Any]) -> None:
        """Note what is moved, and that nothing of it has been moved yet."""
        with transaction.atomic(using=self._alias):
            self.beat()
            self._entries().exclude(name=_LOCK)._raw_delete(self._alias)
            self._insert(_PLAN, json.dumps(plan))

    def reached(self, label: str) -> tuple[str | None, int]:
        """Return the text of the last key that was copied, and the number of rows."""
        found = self._entries().filter(name=f"table {label}")
        for value in found.values_list("value", flat=True):
            key, rows = json.loads(value)
            return key, rows
        return None, 0

    def reach(self, label: str, key: str | None, rows: int) -> None:
        """Note how far a table is copied, within the transaction of the batch."""
        name, value = f"table {label}", json.dumps([key, rows])
        if not self._entries().filter(name=name).update(value=value):
            self._insert(name, value)

    def _insert(self, name: str, value: str, owner: str = "") -> None:
        # Unlike save(), it sends no signal to the project's receivers.
        self._entries().bulk_create([self._model(name=name, value=value, owner=owner)])

    def _now(self) -> str:
        return str(time.time())
