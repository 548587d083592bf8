"""
Development databases by management command.

Add ``"backendkit.dbdev"`` to ``INSTALLED_APPS`` of the development settings.
:func:`dbsettings` makes an entry of ``DATABASES``; :mod:`backendkit.dbdev.backendregistry`
has the engines.
"""

from backendkit.dbdev.configuring import dbsettings
from backendkit.dbdev.errors import DbdevError

__all__ = ["DbdevError", "dbsettings"]
