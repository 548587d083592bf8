"""``manage.py startbackend``, ``python -m backendkit.startbackend``: a new backend."""
