"""
``ENGINE = "tests.stores.engine"``: the memory store, behind BufferedSession.

OPTIONS are the arguments of :class:`BufferedStore`.
"""

from backendkit.backends.memory import base
from backendkit.backends.memory.store import MemoryStore
from tests.stores.buffered import BufferedStore


class DatabaseCreation(base.DatabaseCreation):
    def destroy_database(self, name):
        super().destroy_database(name)
        DatabaseWrapper.opened.pop(name, None)


class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "Buffered"
    store_class = BufferedStore
    store_vendor = "buffered"
    #: ``timeout`` is that of other engines: nobody waits here.
    store_options = frozenset(
        {
            "snapshots",
            "serializable",
            "max_changes",
            "preconditions",
            "remote",
            "timeout",
        }
    )
    creation_class = DatabaseCreation
    opened = {}

    def open_store(self, name, options):
        inner = MemoryStore.open(name)
        options = {key: value for key, value in options.items() if key != "timeout"}
        store = self.opened.get(name)
        if store is None or store.inner is not inner:
            store = BufferedStore(inner, gives_back=True, **options)
            self.opened[name] = store
        return store
