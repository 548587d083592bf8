"""
StoreContract finds faults: it is run on stores that are broken on purpose.

Each fault is one that an author makes, or that a mistake in the reference store
would be. A fault that no test of the contract finds fails here.
"""

import contextlib
import datetime as dt
import io
import unittest
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.backends.memory import store as memory
from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Access,
    Catalog,
    InternalError,
    Order,
    Precision,
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
    return self.session.read(self.table.name).by[""].values()


def forgets_null_in_negations(self, column, lookup, negated, db_type, value):
    test = matcher(lookup, value)
    at = self.table.positions[column]
    if negated:
        self._tests.append(lambda row: not test(row[at]))
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


def ignores_the_last_filter(self):
    rows = candidates(self)
    for test in self._tests[:2]:
        rows = filter(test, rows)
    return rows


def repeats_choices(self):
    # A unique look-up that reads once per choice in the list.
    rows = candidates(self)
    if isinstance(rows, list) and any(
        len(set(map(repr, c))) < len(c) for c in self._choices.values()
    ):
        return rows * 2 if self.access.unique or self.access.equalities else rows
    return rows


def sorts_null_last(self, low=0, high=None):
    rows = list(self._matching())
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


QUERY_FAULTS = [
    {"_candidates": drops_every_hundredth_row},
    {"_candidates": returns_a_row_twice},
    {"_candidates": repeats_choices},
    {"_candidates": iterates_the_live_dict},
    {"_matching": ignores_the_last_filter},
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


@pytest.mark.parametrize(
    "query", QUERY_FAULTS, ids=lambda q: "-".join(f.__name__ for f in q.values())
)
def test_faults_of_queries_are_found(query):
    failed = run(broken(query=query))
    assert failed


def savepoint_keeps_writes(self, mark):
    self._require()


def savepoint_keeps_schema(self, mark):
    catalog, tables = self._catalog, dict(self._tables)
    MemorySession.rollback_to(self, mark)
    self._catalog, self._tables = catalog, tables


def savepoint_keeps_indexes(self, mark):
    kept = {name: dict(data.by) for name, data in self._tables.items()}
    for name, by in kept.items():
        kept[name] = {index: dict(rows) for index, rows in by.items()}
    MemorySession.rollback_to(self, mark)
    for name, by in kept.items():
        for index, rows in by.items():
            if index and name in self._tables and index in self._tables[name].by:
                self._tables[name].by[index].clear()
                self._tables[name].by[index].update(rows)


def savepoint_forgets_numbers(self, mark):
    numbers = {name: data.number for name, data in self._tables.items()}
    MemorySession.rollback_to(self, mark)
    for name, number in numbers.items():
        if name in self._tables:
            vars(self._tables[name])["number"] = number


def mark_is_used_up(self, mark):
    used = vars(self).setdefault("_used", set())
    if mark in used:
        raise InternalError("no such mark")
    used.add(mark)
    MemorySession.rollback_to(self, mark)


def rollback_commits(self):
    if self._snapshot is not None and self._undo:
        self.store.committed = memory._State(self._catalog, self._tables)
    MemorySession.rollback(self)


def upgrade_ignores_conflicts(self):
    if not self._writing:
        self._require()
        self._take_lock()


def upgrade_takes_the_new_state(self):
    if not self._writing:
        self._require()
        self._take_lock()
        self._snapshot = self.store.committed
        self._catalog, self._tables = (
            self._snapshot.catalog,
            dict(self._snapshot.tables),
        )


def writes_without_the_right(self, *, write=False):
    MemorySession._require(self)


def reads_the_latest(self, name):
    self._require()
    if not self._writing:
        self._tables = self.store.committed.tables
    return MemorySession.read(self, name)


def writes_in_place(self, table):
    self._require(write=True)
    return self.read(table.name)


def reuses_numbers(self, table, rows):
    data = self._write(table)
    if table.auto_increment is not None:
        data.number = max((key[0] for key in data.by[""]), default=0)
    return MemorySession.insert(self, table, rows)


def forgets_explicit_numbers(self, table, rows):
    data = self._write(table)
    before = data.number
    keys = MemorySession.insert(self, table, rows)
    data.number = before + sum(row[0] is None for row in rows)
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
        self._write(table).by[""][tuple(key)] = old


def delete_counts_keys(self, table, keys):
    MemorySession.delete(self, table, keys)
    return len(keys)


def delete_leaves_entries(self, table, keys):
    data = self._write(table)
    found = [key for key in keys if key in data.by[""]]
    for key in set(found):
        self._set(data.by[""], key, None)
    return len(set(found))


def fill_is_forgotten(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, renames)


def renames_are_forgotten(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, None, fill)


def alter_forgets_numbers(self, name, table, renames=None, fill=None):
    MemorySession.alter_table(self, name, table, renames, fill)
    self._tables[table.name].number = 0


def index_of_new_rows_only(self, table, index):
    old = self._catalog.tables[table]
    if index.unique:
        self._set(self._write(old).by, index.name, {})
    new = replace(old, indexes=(*old.indexes, index))
    tables = {**self._catalog.tables, table: new}
    catalog = Catalog(next(memory._versions), tables)
    self._set(vars(self), "_catalog", catalog)


def index_stays(self, table, name):
    pass


def dropped_rows_stay(self, name):
    kept = self._tables[name]
    MemorySession.drop_table(self, name)
    vars(self).setdefault("_kept", {})[name] = kept


def created_with_old_rows(self, table):
    MemorySession.create_table(self, table)
    if table.name in vars(self).get("_kept", {}):
        self._tables[table.name] = self._kept.pop(table.name)


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
    data = self._write(table)
    number = data.number
    MemorySession.update(self, table, key, row)
    vars(data)["number"] = number


SESSION_FAULTS = [
    {"rollback_to": savepoint_keeps_writes},
    {"rollback_to": savepoint_keeps_schema},
    {"rollback_to": savepoint_keeps_indexes},
    {"rollback_to": savepoint_forgets_numbers},
    {"rollback_to": mark_is_used_up},
    {"rollback": rollback_commits},
    {"upgrade": upgrade_ignores_conflicts},
    {"upgrade": upgrade_takes_the_new_state},
    {"_require": writes_without_the_right},
    {"read": reads_the_latest},
    {"_write": writes_in_place},
    {"insert": reuses_numbers},
    {"insert": forgets_explicit_numbers},
    {"insert": keys_in_another_order},
    {"update": upserts},
    {"update": update_keeps_the_old_key},
    {"delete": delete_counts_keys},
    {"delete": delete_leaves_entries},
    {"alter_table": fill_is_forgotten},
    {"alter_table": renames_are_forgotten},
    {"alter_table": alter_forgets_numbers},
    {"create_index": index_of_new_rows_only},
    {"drop_index": index_stays},
    {"drop_table": dropped_rows_stay, "create_table": created_with_old_rows},
    {"catalog": version_is_a_count},
    {"catalog": version_never_changes},
    {"catalog": version_always_changes},
    {"catalog": catalog_forgets_sql},
    {"estimated_rows": estimate_is_constant},
    {"update": updates_forget_numbers},
]


@pytest.mark.parametrize(
    "session", SESSION_FAULTS, ids=lambda s: "-".join(f.__name__ for f in s.values())
)
def test_faults_of_sessions_are_found(session):
    failed = run(broken(session=session))
    assert failed


entries = memory._entries


def unique_ignores_the_last_column(table, row):
    return [
        (name, columns, values[:-1] if len(values) > 1 and name else values)
        for name, columns, values in entries(table, row)
    ]


def null_equals_null(table, row):
    return [
        (name, columns, tuple(row[table.positions[c]] for c in columns))
        for name, columns in memory._unique(table)
    ]


def one_null_is_enough_for_none(table, row):
    # Right for one column; of several, only all None is taken as no entry.
    found = null_equals_null(table, row)
    return [e for e in found if not e[0] or set(e[2]) != {None}]


def never_unique(table, row):
    return [entry for entry in entries(table, row) if not entry[0]]


def trims_text(table, row):
    return [
        (n, c, tuple(v.rstrip() if isinstance(v, str) else v for v in values))
        for n, c, values in entries(table, row)
    ]


def ignores_case(table, row):
    return [
        (n, c, tuple(v.lower() if isinstance(v, str) else v for v in values))
        for n, c, values in entries(table, row)
    ]


def distinguishes_equal_values(table, row):
    return [(n, c, tuple(map(repr, values))) for n, c, values in entries(table, row)]


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
    monkeypatch.setattr(memory, "_entries", fault)
    assert run(broken())


def stores(change):
    """Return the faulty write methods of a session that changes rows it stores."""

    def _put(self, table, data, row, old=None):
        return MemorySession._put(self, table, data, tuple(map(change, row)), old)

    _put.__name__ = change.__name__
    return {"_put": _put}


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


def test_a_missing_lock_is_found():
    def take_lock(self):
        self._writing = True

    def rollback(self):
        self._writing = False
        MemorySession.rollback(self)

    assert run(broken({"_take_lock": take_lock, "rollback": rollback}))


def test_a_lock_that_is_kept_is_found():
    def rollback(self):
        self._writing = False
        MemorySession.rollback(self)

    assert run(broken({"rollback": rollback}))


def returns_all(self):
    return candidates(self)


#: Less than all that the reference store can; correct nonetheless.
LESS = {
    "no filters": ({"filters": {}}, {}),
    "coarse": (
        {"filters": dict.fromkeys(COMPARISONS | PATTERNS, Precision.COARSE)},
        {"_matching": returns_all},
    ),
    "no negations": ({"negations": frozenset()}, {}),
    "no order": ({"order": Order.NONE, "limit": False, "count": False}, {}),
    "no locks": ({"locks": False}, {}),
    "no transactions": ({"transactions": False, "locks": False}, {}),
}


@pytest.mark.parametrize("name", LESS)
def test_what_a_store_does_not_claim_is_not_asked_of_it(name):
    capabilities, query = LESS[name]
    assert run(broken(query=query, capabilities=capabilities)) == []


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
