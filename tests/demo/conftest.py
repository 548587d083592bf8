"""
Demos to test, filled and served.

Runs on LMDB, and the browser on immudb, too; ``DEMO_ENGINE=sqlite`` takes SQLite instead
of LMDB.
"""

import os
import shutil
import urllib.parse

import pytest

from backendkit.backends.immudb.server import ServerNotFound, find

from .running import ENGINE, Demo, Page, SitePackages, fill


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """The data of an empty, migrated demo; None where a server keeps them."""
    if ENGINE == "immudb":
        return None
    demo = Demo(tmp_path_factory.mktemp("migrated") / "data")
    demo.run("migrate", "--verbosity", 0)
    return demo.data


@pytest.fixture
def demo(migrated, tmp_path):
    """An empty, migrated demo."""
    demo = Demo(tmp_path / "data")
    if migrated is not None:
        shutil.copytree(migrated, demo.data)
    with demo.running():
        if migrated is None:
            demo.run("migrate", "--verbosity", 0)
        yield demo


@pytest.fixture
def site(tmp_path):
    """A filled directory of distributions."""
    site = SitePackages(tmp_path / "site-packages")
    fill(site)
    return site


@pytest.fixture(scope="module")
def engine():
    """What the demo of a module runs on; test_browser has several."""
    return ENGINE


@pytest.fixture(scope="module")
def scanned(engine, tmp_path_factory):
    """A demo with two scans, between which things changed."""
    directory = tmp_path_factory.mktemp("scanned")
    demo = Demo(directory / "data", engine)
    if engine == "immudb":
        try:
            find()
        except ServerNotFound as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
    site = SitePackages(directory / "site-packages")
    fill(site)
    with demo.running():
        demo.run("migrate", "--verbosity", 0)
        demo.run("track", "--path", site.path)
        site.uninstall("beta", "1.5")
        site.install("beta", "2.0", "License: Apache 2.0", requires=["gamma-ray"])
        site.uninstall("plain-00", "1.0")
        site.install("epsilon", "1.0", "License: MIT")
        demo.run("track", "--path", site.path)
        demo.run(
            *("createsuperuser", "--noinput"),
            *("--username=admin", "--email=admin@example.com"),
        )
        yield demo


@pytest.fixture(scope="module")
def address(scanned):
    """Where the scanned demo is served."""
    with scanned.served() as address:
        yield address


@pytest.fixture
def get(address):
    """Return a function that gets a page, with parameters."""

    def get(path, **parameters):
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return Page(address + path + query)

    return get
