"""The ENGINE."""

from backendkit.backends.memory import base

from . import stores


class DatabaseWrapper(base.DatabaseWrapper):
    store_options = base.DatabaseWrapper.store_options | {"defect"}

    def open_store(self, name, options):
        return getattr(stores, options["defect"]).open(name)
