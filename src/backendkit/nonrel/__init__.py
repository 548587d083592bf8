"""
Django's database backend for a store: the eight classes, ready to subclass.

SQL dialect, functions and lookups are inherited from Django's SQLite backend,
because what runs our SQL is SQLite. See :mod:`backendkit.nonrel.base`.
"""
