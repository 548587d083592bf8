"""
SQL over stores.

A PEP 249 connection (:mod:`backendkit.engine.dbapi`) that compiles and runs
SQLite's SQL, on virtual tables each of which is one table of a store.
"""
