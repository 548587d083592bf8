"""
StoreContract finds faults: it is run on stores that are broken on purpose.

Each fault is one that an author makes, or that a mistake in the reference store
would be. A fault that no test of the contract finds fails here.
"""

import contextlib
import datetime as dt
import functools
import io
import unittest
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Access,
    Catalog,
    IntegrityError,
    InterfaceError,
    InternalError,
    Order,
    Precision,
    Table,
    WriterLock,
    matcher,
)
from backendkit.stores.testing import StoreContract

#: They compare every filter with every other, so they are run last.
SLOW = {
    "test_comparisons",
    "test_filters_together",
    "test_names",
    "test_order",
    "test_patterns",
}


def run(store_class):
    """Return the first of the contract's tests that a store fails, if any."""

    class Tests(StoreContract, unittest.TestCase):
        patience = 1.0
        many = 200

        def make_store(self):
            return store_class(timeout=0.01)

    names = unittest.defaultTestLoader.getTestCaseNames(Tests)
    suite = unittest.TestSuite(map(Tests, sorted(names, key=SLOW.__contains__)))
    result = unittest.TestResult()
    result.failfast = True
    with contextlib.redirect_stderr(io.StringIO()):  # threads that fail say so
        suite.run(result)
    return [(test.id(), message) for test, message in result.failures + result.errors]


def broken(session=None, query=None, capabilities=None):
    """Return a memory store class with methods replaced, by their names."""
    query_class = type("BrokenQuery", (MemoryQuery,), query or {})
    methods = {"query": lambda self, *args: query_class(self, *args)} | (session or {})  # noqa: PLW0108  # binds self
    session_class = type("BrokenSession", (MemorySession,), methods)
    attributes = {"session": lambda self: session_class(self)}  # noqa: PLW0108  # binds self
    if capabilities:
        attributes["capabilities"] = replace(MemoryStore.capabilities, **capabilities)
    return type("BrokenStore", (MemoryStore,), attributes)


def right_within(name, *others):
    """Return a method of the reference store that calls the others unbroken."""
    method = getattr(MemorySession, name)

    @functools.wraps(method)
    def call(self, *args, **options):
        for other in others:
            right = functools.partial(getattr(MemorySession, other), self)
            setattr(self, other, right)
        try:
            return method(self, *args, **options)
        finally:
            for other in others:
                delattr(self, other)

    return call


fetch, add_filter, candidates = (
    MemoryQuery.fetch,
    MemoryQuery.add_filter,
    MemoryQuery._candidates,
)


def drops_every_hundredth_row(self):
    return (row for n, row in enumerate(candidates(self), 1) if n % 100)


def returns_a_row_twice(self):
    rows = list(candidates(self))
    return [*rows, *rows[:1]] if len(rows) > 50 else rows


def iterates_the_live_dict(self):
    return self.session.read(self.table.name).values()


def forgets_null_in_negations(self, column, lookup, negated, db_type, value):
    test = matcher(lookup, value)
    at = self.table.positions[column]
    if negated:
        self._tests = (*self._tests, lambda row: not test(row[at]))
    else:
        add_filter(self, column, lookup, negated, db_type, value)


def finds_null_by_null(self, column, lookup, negated, db_type, value):
    if lookup == "exact" and value is None:
        lookup, value = "isnull", True
    add_filter(self, column, lookup, negated, db_type, value)


def ignores_null_in_not_in(self, column, lookup, negated, db_type, value):
    if lookup == "in":
        value = [choice for choice in value if choice is not None]
    add_filter(self, column, lookup, negated, db_type, value)


def confuses(wrong, right):
    def method(self, column, lookup, negated, db_type, value):
        lookup = right if lookup == wrong else lookup
        add_filter(self, column, lookup, negated, db_type, value)

    method.__name__ = f"takes_{wrong}_for_{right}"
    return method


def ignores_the_last_filter(self, low=0, high=None):
    self._tests = self._tests[:2]
    return fetch(self, low, high)


def repeats_choices(self):
    # A unique look-up that reads once per choice in the list.
    rows = candidates(self)
    if any(len(set(map(repr, c))) < len(c) for c in self._choices.values()):
        return rows * 2 if self.access.unique or self.access.equalities else rows
    return rows


def sorts_null_last(self, low=0, high=None):
    rows = [row for row in candidates(self) if all(test(row) for test in self._tests)]
    for column, descending in reversed(self._ordering):
        at = self.table.positions[column]
        rows.sort(key=lambda row: (row[at] is None, row[at]), reverse=descending)
    at = [self.table.positions[name] for name in self.columns]
    return iter([tuple(row[n] for n in at) for row in rows[low:high]])


def sorts_by_first_column_only(self, ordering):
    self._ordering = ordering[:1]


def forgets_descending(self, ordering):
    self._ordering = [(column, False) for column, _ in ordering]


def forgets_low_mark(self, low=0, high=None):
    return fetch(self, 0, high)


def high_mark_is_a_count(self, low=0, high=None):
    return fetch(self, low, None if high is None else low + high)


def counts_all(self):
    return len(list(candidates(self)))


def forgets_projection(self, low=0, high=None):
    self.columns = tuple(self.table.positions)
    return fetch(self, low, high)


def test_the_reference_store_has_no_faults():
    assert run(broken()) == []


def updated(self, changes, rows):
    table = self.table
    for row in rows:
        values = dict(zip(table.positions, row, strict=True)) | changes
        self.session.update(table, table.key_of(row), tuple(values.values()))


def updates_what_it_returns(self, changes):
    whole = MemoryQuery(
        self.session, self.table, list(self.table.positions), self.access
    )
    whole._tests, whole._choices = self._tests, self._choices
    rows = list(whole.fetch())
    updated(self, changes, rows)
    return len(rows)


def updates_all(self, changes):
    rows = list(self.session.read(self.table.name).values())
    updated(self, changes, rows)
    return len(rows)


def updates_the_first_only(self, changes):
    rows = list(MemoryQuery.fetch(self))
    updated(self, changes, [self.session.get(self.table, row) for row in rows[:1]])
    return len(rows)


def counts_changed_rows(self, changes):
    before = dict(self.session.read(self.table.name))
    updates_what_it_returns(self, changes)
    after = self.session.read(self.table.name)
    return sum(after[key] != row for key, row in before.items())


@pytest.mark.check
def test_a_right_update_passes():
    assert not run(
        broken(query={"update": updates_what_it_returns}, capabilities={"update": True})
    )


@pytest.mark.check
@pytest.mark.parametrize(
    "update", [updates_all, updates_the_first_only, counts_changed_rows]
)
def test_faults_of_updates_are_found(update):
    assert run(broken(query={"update": update}, capabilities={"update": True}))


QUERY_FAULTS = [
    {"_candidates": drops_every_hundredth_row},
    {"_candidates": returns_a_row_twice},
    {"_candidates": repeats_choices},
    {"_candidates": iterates_the_live_dict},
    {"fetch": ignores_the_last_filter},
    {"add_filter": forgets_null_in_negations},
    {"add_filter": finds_null_by_null},
    {"add_filter": ignores_null_in_not_in},
    {"add_filter": confuses("gte", "gt")},
    {"add_filter": confuses("lt", "lte")},
    {"add_filter": confuses("contains", "startswith")},
    {"add_filter": confuses("iregex", "regex")},
    {"fetch": sorts_null_last},
    {"order_by": sorts_by_first_column_only},
    {"order_by": forgets_descending},
    {"fetch": forgets_low_mark},
    {"fetch": high_mark_is_a_count},
    {"fetch": forgets_projection},
    {"count": counts_all},
]


@pytest.mark.check
@pytest.mark.parametrize(
    "query", QUERY_FAULTS, ids=lambda q: "-".join(f.__name__ for f in q.values())
)
def test_faults_of_queries_are_found(query):
    failed = run(broken(query=query))
    assert failed


def savepoint_keeps_writes(self, mark):
    self._require()


def rollback_but_for(self, mark, wanted):
    kept = {name: dict(rows) for name, rows in self._state.items() if wanted(*name)}
    MemorySession.rollback_to(self, mark)
    self._state.update(kept)


def savepoint_keeps_schema(self, mark):
    rollback_but_for(self, mark, lambda _, index: index == "schema")


def savepoint_keeps_indexes(self, mark):
    rollback_but_for(self, mark, lambda table, index: table and index)


def savepoint_keeps_numbers(self, mark):
    rollback_but_for(self, mark, lambda _, index: index == "numbers")


def mark_is_used_up(self, mark):
    used = vars(self).setdefault("_used", set())
    if mark in used:
        raise InternalError("no such mark")
    used.add(mark)
    MemorySession.rollback_to(self, mark)


def rollback_commits(self):
    if self._state is not None and self._undo:
        self.store.committed = self._state
    MemorySession.rollback(self)


def upgrade_ignores_conflicts(self):
    self._require()
    self.store.writer.acquire(self)


def upgrade_takes_the_new_state(self):
    upgrade_ignores_conflicts(self)
    if self.store.committed is not self._began:
        self._began = self.store.committed
        self._state = dict(self._began)


def writes_without_the_right(self, *, write=False):
    return MemorySession._require(self)


def reads_the_latest(self, name, index=""):
    self._require()
    if self.store.writer.owner is not self:
        self._state = dict(self.store.committed)
    return MemorySession.read(self, name, index)


def writes_in_place(self, name, key, value):
    began, self._began = self._began, {}
    MemorySession._set(self, name, key, value)
    self._began = began


def number_of(self, table):
    return self.read("", "numbers").get(table.name, 0)


def reuses_numbers(self, table, rows):
    if table.auto_increment is not None:
        largest = max((key[0] for key in self.read(table.name)), default=0)
        self.reset_sequence(table, largest)
    return MemorySession.insert(self, table, rows)


def forgets_explicit_numbers(self, table, rows):
    before = number_of(self, table)
    keys = MemorySession.insert(self, table, rows)
    self.reset_sequence(table, before + sum(row[0] is None for row in rows))
    return keys


def keys_in_another_order(self, table, rows):
    return MemorySession.insert(self, table, rows)[::-1]


def upserts(self, table, key, row):
    if self.get(table, key) is None:
        self.insert(table, [row])
    else:
        MemorySession.update(self, table, key, row)


def update_keeps_the_old_key(self, table, key, row):
    old = self.get(table, key)
    MemorySession.update(self, table, key, row)
    if old is not None and table.key_of(row) != tuple(key):
        self._set((table.name, ""), tuple(key), old)


def delete_counts_keys(self, table, keys):
    MemorySession.delete(self, table, keys)
    return len(keys)


def delete_leaves_entries(self, table, keys):
    found = {key for key in keys if key in self.read(table.name)}
    for key in found:
        self._set((table.name, ""), key, None)
    return len(found)


def fill_is_forgotten(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, renames)


def renames_are_forgotten(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, None, fill)


def alter_forgets_numbers(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, renames, fill)
    self.reset_sequence(table)


def index_of_new_rows_only(self, table, index):
    old = self.catalog().tables[table]
    new = replace(old, indexes=(*old.indexes, index))
    catalog = Catalog(object(), {**self.catalog().tables, table: new})
    self._set(("", "schema"), "catalog", catalog)


def index_stays(self, table, name):
    pass


def dropped_rows_stay(self, name):
    kept = {where: rows for where, rows in self._state.items() if where[0] == name}
    vars(self).setdefault("_kept", {})[name] = {w: dict(r) for w, r in kept.items()}
    MemorySession.drop_table(self, name)


def created_with_old_rows(self, table):
    MemorySession.create_table(self, table)
    self._state.update(vars(self).get("_kept", {}).pop(table.name, {}))


def version_is_a_count(self):
    return Catalog(len(self._undo), MemorySession.catalog(self).tables)


def version_never_changes(self):
    return Catalog(0, MemorySession.catalog(self).tables)


def version_always_changes(self):
    return Catalog(object(), MemorySession.catalog(self).tables)


def catalog_forgets_sql(self):
    catalog = MemorySession.catalog(self)
    tables = {n: replace(t, sql="") for n, t in catalog.tables.items()}
    return Catalog(catalog.version, tables)


def estimate_is_constant(self, table):
    return 1_000_000


def updates_forget_numbers(self, table, key, row):
    number = number_of(self, table)
    MemorySession.update(self, table, key, row)
    self.reset_sequence(table, number)


#: A delete that is broken is found as itself, not where the store uses it.
DELETE_WITHIN = {
    name: right_within(name, "delete") for name in ("update", "drop_table")
}

SESSION_FAULTS = [
    {"rollback_to": savepoint_keeps_writes},
    {"rollback_to": savepoint_keeps_schema},
    {"rollback_to": savepoint_keeps_indexes},
    {"rollback_to": savepoint_keeps_numbers},
    {"rollback_to": mark_is_used_up},
    {"rollback": rollback_commits},
    {"upgrade": upgrade_ignores_conflicts},
    {"upgrade": upgrade_takes_the_new_state},
    {"_require": writes_without_the_right},
    {"read": reads_the_latest},
    {"_set": writes_in_place},
    {"insert": reuses_numbers},
    {"insert": forgets_explicit_numbers},
    {"insert": keys_in_another_order},
    {"update": upserts},
    {"update": update_keeps_the_old_key},
    {"delete": delete_counts_keys, **DELETE_WITHIN},
    {"delete": delete_leaves_entries, **DELETE_WITHIN},
    {"alter_table": fill_is_forgotten},
    {"alter_table": renames_are_forgotten},
    {"alter_table": alter_forgets_numbers},
    {"create_index": index_of_new_rows_only},
    {"drop_index": index_stays},
    {
        "drop_table": dropped_rows_stay,
        "create_table": created_with_old_rows,
        "alter_table": right_within("alter_table", "drop_table", "create_table"),
    },
    {"catalog": version_is_a_count},
    {"catalog": version_never_changes},
    {"catalog": version_always_changes},
    {"catalog": catalog_forgets_sql},
    {"estimated_rows": estimate_is_constant},
    {"update": updates_forget_numbers},
]


@pytest.mark.parametrize(
    "session",
    [
        # Each fourth is enough for make test.
        fault if number % 4 == 0 else pytest.param(fault, marks=pytest.mark.check)
        for number, fault in enumerate(SESSION_FAULTS)
    ],
    ids=lambda s: next(iter(s.values())).__name__,
)
def test_faults_of_sessions_are_found(session):
    failed = run(broken(session=session))
    assert failed


unique_values = Table.unique_values


def unique_ignores_the_last_column(table, row):
    return [
        (index, values[:-1] if len(values) > 1 and index else values)
        for index, values in unique_values(table, row)
    ]


def null_equals_null(table, row):
    return [
        (index, tuple(row[table.positions[name]] for name in columns))
        for index, columns in table.unique.items()
    ]


def one_null_is_enough_for_none(table, row):
    # Right for one column; of several, only all None is taken as no entry.
    found = null_equals_null(table, row)
    return [pair for pair in found if not pair[0] or set(pair[1]) != {None}]


def never_unique(table, row):
    return [pair for pair in unique_values(table, row) if not pair[0]]


def trims_text(table, row):
    return [
        (index, tuple(v.rstrip() if isinstance(v, str) else v for v in values))
        for index, values in unique_values(table, row)
    ]


def ignores_case(table, row):
    return [
        (index, tuple(v.lower() if isinstance(v, str) else v for v in values))
        for index, values in unique_values(table, row)
    ]


def distinguishes_equal_values(table, row):
    return [(i, tuple(map(repr, values))) for i, values in unique_values(table, row)]


@pytest.mark.parametrize(
    "fault",
    [
        unique_ignores_the_last_column,
        null_equals_null,
        one_null_is_enough_for_none,
        never_unique,
        trims_text,
        ignores_case,
        distinguishes_equal_values,
    ],
)
def test_faults_of_uniqueness_are_found(fault, monkeypatch):
    monkeypatch.setattr(Table, "unique_values", fault)
    assert run(broken())


def stores(change):
    """Return the faulty write method of a session that changes rows it stores."""

    def insert(self, table, rows):
        changed = [tuple(map(change, row)) for row in rows]
        return MemorySession.insert(self, table, changed)

    return {"insert": insert}


def floats_for_numbers(value):
    return float(value) if type(value) is int and abs(value) > 9 else value


def single_precision_decimals(value):
    return round(value, 30) if isinstance(value, Decimal) else value


def text_up_to_nul(value):
    return value.partition("\0")[0] if isinstance(value, str) else value


def none_for_empty(value):
    return None if value == "" else value


def milliseconds(value):
    if isinstance(value, dt.datetime | dt.time):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


def positive_zero(value):
    return value + 0.0 if isinstance(value, float) else value


def text_for_uuids(value):
    return str(value) if isinstance(value, uuid.UUID) else value


def integers_for_bools(value):
    return int(value) if isinstance(value, bool) else value


def none_for_json_null(value):
    return None if value == "null" else value


@pytest.mark.parametrize(
    "change",
    [
        floats_for_numbers,
        single_precision_decimals,
        text_up_to_nul,
        none_for_empty,
        milliseconds,
        positive_zero,
        text_for_uuids,
        integers_for_bools,
        none_for_json_null,
    ],
)
def test_changed_values_are_found(change):
    assert run(broken(session=stores(change)))


class LockForAll(WriterLock):
    """Whoever wants it has it."""

    def __init__(self, timeout):
        super().__init__(timeout)
        self.owners = set()

    def acquire(self, session):
        self.owners.add(session)

    def release(self, session):
        self.owners.discard(session)


def test_a_missing_lock_is_found():
    def _require(self, *, write=False):
        if write and self not in self.store.writer.owners:
            raise InterfaceError("the session has no right to write")
        return MemorySession._require(self)

    store_class = broken({"_require": _require})

    def make_store(timeout):
        store = store_class(timeout)
        store.writer = LockForAll(timeout)
        return store

    assert run(make_store)


def test_a_lock_that_is_kept_is_found():
    def rollback(self):
        self._state = None

    assert run(broken({"rollback": rollback}))


def returns_all(self, low=0, high=None):
    self._tests = ()
    return fetch(self, low, high)


def all_or_nothing(name):
    """Return a method that has no effect where it fails."""

    def call(self, *args):
        mark = self.savepoint()
        try:
            return getattr(MemorySession, name)(self, *args)
        except IntegrityError:
            self.rollback_to(mark)
            raise

    return call


#: Less than all that the reference store can; correct nonetheless.
LESS = {
    "no filters": ({"filters": {}}, {}),
    "coarse": (
        {"filters": dict.fromkeys(COMPARISONS | PATTERNS, Precision.COARSE)},
        {"fetch": returns_all},
    ),
    "no negations": ({"negations": frozenset()}, {}),
    "no order": ({"order": Order.NONE, "limit": False, "count": False}, {}),
    "no locks": ({"locks": False}, {}),
    "no transactions": ({"transactions": False, "locks": False}, {}),
}


@pytest.mark.check
@pytest.mark.parametrize("name", LESS)
def test_what_a_store_does_not_claim_is_not_asked_of_it(name):
    capabilities, query = LESS[name]
    session = None
    if name == "no transactions":
        # What can't be rolled back must not be left half done.
        names = ("insert", "update", "create_index")
        session = {name: all_or_nothing(name) for name in names}
    assert run(broken(session, query, capabilities)) == []


def test_a_coarse_filter_that_loses_rows_is_found():
    capabilities, _ = LESS["coarse"]
    query = {"add_filter": confuses("gte", "gt")}
    assert run(broken(query=query, capabilities=capabilities))


def test_a_full_scan_and_an_index_are_compared():
    """A look-up that differs from a scan is found, be it the scan that is right."""

    def _candidates(self):
        rows = list(candidates(self))
        return rows if self.access == Access() else rows[:1]

    assert run(broken(query={"_candidates": _candidates}))
