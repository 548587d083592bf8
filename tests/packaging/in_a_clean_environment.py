"""
Run by an environment that has the wheel and nothing else of ours.

It imports every public module, runs queries on LMDB, and the contract of stores on it.
"""

import importlib
import pkgutil
import sys
import tempfile
import unittest
from pathlib import Path

import django
from django.conf import settings

import backendkit

#: Modules that need something beyond the extras: what it is.
NEEDS = {"backendkit.dbdev.pytest_plugin": "pytest"}

folder = tempfile.mkdtemp()
settings.configure(
    DATABASES={
        "default": {"ENGINE": "backendkit.backends.lmdb", "NAME": f"{folder}/data"}
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "backendkit.dbdev",
        "backendkit.move",
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

assert Path(backendkit.__file__).is_relative_to(sys.prefix), backendkit.__file__
for package in ("backendkit", "immudb_backend"):
    top = importlib.import_module(package)
    assert Path(top.__file__).with_name("py.typed").exists(), package
    names = [package]
    names += [
        found.name for found in pkgutil.walk_packages(top.__path__, package + ".")
    ]
    for name in names:
        private = any(part.startswith("_") for part in name.split("."))
        if not private and name not in NEEDS:
            importlib.import_module(name)

from django.contrib.auth.models import Group, Permission, User  # noqa: E402  # after the settings
from django.core.management import call_command  # noqa: E402  # as above
from django.db.models import Count  # noqa: E402  # as above

call_command("migrate", verbosity=0)
user = User.objects.create_user("ann", password="x")
user.groups.add(*(Group.objects.create(name=name) for name in ("a", "b")))
assert User.objects.filter(groups__name__in=["a", "z"]).get() == user
assert User.objects.aggregate(n=Count("groups"))["n"] == 2
assert Permission.objects.filter(content_type__app_label="auth").count() > 10

from backendkit.backends.lmdb.store import LMDBStore  # noqa: E402  # as above
from backendkit.stores.testing import StoreContract  # noqa: E402  # as above


class ContractTests(StoreContract, unittest.TestCase):
    many = 100
    longest_primary_key = 200

    def make_store(self):
        path = tempfile.mkdtemp(dir=folder)
        return LMDBStore.open(f"{path}/data", {"timeout": 0.1})


# These compare every filter with every other, which the tests do anyway.
SLOW = {"comparisons", "filters_together", "names", "order", "patterns"}
names = unittest.defaultTestLoader.getTestCaseNames(ContractTests)
quick = [name for name in names if name.removeprefix("test_") not in SLOW]
assert len(quick) > 25, quick
found = unittest.TextTestRunner().run(unittest.TestSuite(map(ContractTests, quick)))
assert found.wasSuccessful()
sys.stdout.write("all is well\n")
