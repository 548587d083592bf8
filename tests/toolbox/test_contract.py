"""The adapter over the guide's sample keeps the whole contract of a store."""

import itertools

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from backendkit.stores.testing import StoreContract, _schema

from .sample import compiler
from .sample.base import DatabaseWrapper

_numbers = itertools.count()


def wrapper(host, engine="tests.toolbox.sample", **settings):
    """A connection's wrapper, as Django makes it."""
    handler = ConnectionHandler(
        {"default": {"ENGINE": engine, "NAME": "shop", "HOST": host, **settings}}
    )
    return handler["default"]


class ToolboxContract(StoreContract):
    """Stores hold their wrappers weakly; here they are all there is."""

    @pytest.fixture(autouse=True)
    def _without_its_own_name(self, monkeypatch):
        """The sample keeps the primary key as ``_id``: no other column can be that."""
        names = tuple(name for name in _schema.NAMES if name != "_id")
        assert len(names) == len(_schema.NAMES) - 1
        monkeypatch.setattr(_schema, "NAMES", names)

    def make_store(self, host=None):
        made = wrapper(host or f"contract-{next(_numbers)}")
        assert isinstance(made, BaseDatabaseWrapper)
        store = self.open(made)
        store.wrapper = made
        return store

    def open(self, made):
        return made.open_store("shop", {})

    def reopen_store(self, store):
        return self.make_store(store.wrapper.settings_dict["HOST"])


class TestSample(ToolboxContract):
    """Filters are coarse, and SQLite sorts: what the guide's backend gets."""


class ExactQuery(compiler.BackendQuery):
    """A query whose author has looked what SQL means by it."""

    exact_lookups = frozenset({"exact", "in", "isnull", "gt", "gte", "lt", "lte"})
    OPERATORS_MAP = compiler.OPERATORS_MAP
    NEGATION_MAP = {"isnull": compiler.NEGATION_MAP["isnull"]}


class ExactModule:
    """As a module ``compiler``."""

    __name__ = "exact"

    class SQLCompiler(compiler.SQLCompiler):
        query_class = ExactQuery

    class SQLInsertCompiler(compiler.SQLInsertCompiler):
        query_class = ExactQuery

    class SQLDeleteCompiler(compiler.SQLDeleteCompiler):
        query_class = ExactQuery


class ExactWrapper(DatabaseWrapper):
    """A backend that promises exact rows."""

    compilers = ExactModule()


@pytest.mark.check
class TestExact(ToolboxContract):
    """Filters are exact: limits and counts are the author's."""

    def open(self, made):
        made.__class__ = ExactWrapper
        return super().open(made)
