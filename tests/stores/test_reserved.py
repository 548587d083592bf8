"""A name that a base class keeps for itself is refused when a subclass is made."""

import re

import pytest

from backendkit import stores
from backendkit.kv import RecordStore
from backendkit.nonrel.base import NonrelDatabaseWrapper
from backendkit.stores import BufferedSession, NonrelQuery, Session, Store
from backendkit.stores._buffered import _HOOKS
from backendkit.stores._reserved import kept_names, taken_names

KEPT = sorted(kept_names(BufferedSession) - _HOOKS - set(dir(Session)))
MESSAGE = "uses the name {!r}, which BufferedSession reserves for itself"


def make(source, **names):
    """Run the source of a class, and return it."""
    names = {"stores": stores, "RecordStore": RecordStore, **names}
    scope = {"__name__": "theirs", "Wrapper": NonrelDatabaseWrapper, **names}
    exec(compile(source, "theirs.py", "exec"), scope)
    return scope["Mine"]


def test_what_once_broke_a_store_is_kept():
    assert {"_known", "_changes", "_seen", "_log", "_active", "now"} <= {*KEPT}


@pytest.mark.parametrize("name", KEPT)
def test_each_name_that_is_kept(name):
    """As a method, as an attribute, and assigned to self: whatever its name is."""
    message = re.escape(MESSAGE.format(name))
    for body in (
        f"def {name}(self): pass",
        f"{name} = 0",
        f"def _begin(self, *, write): self.{name} = {{}}",
    ):
        with pytest.raises(TypeError, match=message):
            make(f"class Mine(stores.BufferedSession):\n    {body}\n")


@pytest.mark.parametrize(
    "body",
    [
        "def __init__(self, store): super().__init__(store); self._log = []",
        "def _begin(self, *, write):\n  x = 1\n  self._log = x",
        "def _begin(this, *, write): this._log: list = []",
        "def _begin(self, *, write): self.a, self._log = 1, 2",
        "def _begin(self, *, write): self.a = self._log = 1",
        "def _begin(self, *, write):\n  for self._log in (): pass",
        "def _begin(self, *, write):\n  with open('f') as self._log: pass",
        "def _begin(self, *, write):\n  def later(): self._log = 1\n  return later",
        "@stores.safe_call\n def _begin(self, *, write): self._log = 1",
        "@property\n def own(self): self._log = 1",
    ],
)
def test_where_it_is_assigned(body):
    """However it is written; the message says in which method."""
    with pytest.raises(TypeError, match=r"theirs\.Mine\.\w+\(\) uses the name '_log'"):
        make(f"class Mine(stores.BufferedSession):\n {body}\n")


def test_a_base_of_the_authors():
    """What comes from a mixin shadows as well."""
    with pytest.raises(TypeError, match=r"theirs\.Log\.start\(\) uses .*'__log'"):
        make(
            "class Log:\n    def start(self): self._log = []\n"
            "class Mine(Log, stores.BufferedSession): pass\n"
        )


@pytest.mark.parametrize(
    "body",
    [
        "def _begin(self, *, write): self.client._log = 1",
        "def _begin(self, *, write): other = write; other._log = 1",
        "def _begin(self, *, write): self.__log = self._seen_names = 1",
        "def _begin(self, *, write): return self._active",
        "def commit(self): super().commit(); self._closed = True",
        "max_changes = 5\n def close(self): pass",
        "def _log_it(self): _log = self._catalog()",
        "@staticmethod\n def size(): pass",
    ],
)
def test_what_is_free(body):
    """Hooks, the contract's methods, other objects' attributes, other names."""
    assert issubclass(
        make(f"class Mine(stores.BufferedSession):\n {body}\n"), BufferedSession
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "class Mine(RecordStore):\n def session(self): self._lock = 1",
            "'_lock', which RecordStore",
        ),
        (
            "class Mine(Wrapper):\n def open_store(self, *_): self.planner = 1",
            "'planner', which NonrelDatabaseWrapper",
        ),
    ],
)
def test_other_bases(source, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make(source)


@pytest.mark.parametrize("base", [Store, Session, NonrelQuery])
def test_the_contract_keeps_nothing(base):
    """What an author subclasses most has no private names, but for one flag."""
    names = {name for name, _ in taken_names(base)}
    assert {name for name in names if name.startswith("_")} <= {"_closed", "_abc_impl"}
