"""``RecordStore``: the contract's store on a key-value engine."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Capabilities,
    DatabaseError,
    Mutex,
    Order,
    Precision,
    Store,
    refuse_taken_names,
    shown,
)

from .catalog import CatalogState, TableRecord
from .codec import NO_ROW, DamagedRowError
from .layout import CATALOG_PREFIX, CATALOG_STOP, VERSION_KEY, catalog_key
from .session import RecordSession

if TYPE_CHECKING:
    from .engine import KeyValueStore, KeyValueTransaction

#: Versions of the catalog that are kept in memory.
_VERSIONS = 8


class RecordStore(Store):
    """
    Tables in a key-value engine.

    :param engine: opened, and initialized by :func:`~.formats.initialize`.
    """

    capabilities = Capabilities(
        filters=dict.fromkeys(COMPARISONS | PATTERNS, Precision.EXACT),
        negations=COMPARISONS | PATTERNS,
        indexed=True,
        order=Order.INDEX,
        limit=True,
        count=True,
        update=True,
        locks=True,
        multiple_processes=True,
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse names that are kept: see :func:`refuse_taken_names`."""
        super().__init_subclass__(**kwargs)
        refuse_taken_names(cls, RecordStore, {*dir(Store), "capabilities"})

    def __init__(self, engine: KeyValueStore) -> None:
        self.engine = engine
        damaged = dict.fromkeys(NO_ROW, DamagedRowError)
        self.driver_errors = {**engine.driver_errors, **damaged}  # type: ignore[misc]  # the engine's, known when it is opened
        self._states: OrderedDict[bytes, CatalogState] = OrderedDict()
        self._lock = Mutex()

    def session(self) -> RecordSession:
        return RecordSession(self)

    def close(self) -> None:
        self.engine.close()

    def catalog_state(self, transaction: KeyValueTransaction) -> CatalogState:
        """Return the catalog that a transaction sees; read once per version."""
        version = transaction.get(VERSION_KEY) or b""
        state = self._states.get(version)
        if state is not None:
            return state
        with self._lock:
            known = next(reversed(self._states.values()), None)
            sources = known.sources if known else {}
        read: dict[bytes, tuple[bytes, TableRecord]] = {}
        for key, source in transaction.range(CATALOG_PREFIX, CATALOG_STOP):
            # Most tables are the same as in the version known before.
            one = sources.get(key)
            if one is None or one[0] != source:
                one = source, TableRecord.from_json(source)
                if key != catalog_key(one[1].id):
                    raise DatabaseError(
                        f"The catalog has the table {shown(one[1].table.name)} under"
                        " the number of another table."
                    )
            read[key] = one
        records = {record.table.name: record for _, record in read.values()}
        state = CatalogState(version, records, read)
        self.remember(state)
        return state

    def remember(self, state: CatalogState) -> None:
        """Keep a version of the catalog, so that nobody has to read it."""
        with self._lock:
            self._states[state.version] = state
            while len(self._states) > _VERSIONS:
                self._states.popitem(last=False)
