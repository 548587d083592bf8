"""Django's eight classes on stores, with Django's SQLite backend as the oracle."""
