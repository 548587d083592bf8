"""django-backendkit: Django database backends for stores that Django does not ship."""

__version__ = "0.1.0.dev0"
