"""``ENGINE = "immudb_backend"``: another name of ``backendkit.backends.immudb``."""
