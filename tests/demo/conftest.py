"""
Demos to test, filled and served.

Runs on LMDB; ``DEMO_ENGINE=sqlite`` runs the same tests on SQLite.
"""

import urllib.parse

import pytest

from .running import Demo, Page, SitePackages, fill


@pytest.fixture
def demo(tmp_path):
    """An empty, migrated demo."""
    demo = Demo(tmp_path / "data")
    demo.run("migrate", "--verbosity", 0)
    return demo


@pytest.fixture
def site(tmp_path):
    """A filled directory of distributions."""
    site = SitePackages(tmp_path / "site-packages")
    fill(site)
    return site


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A demo with two scans, between which things changed."""
    directory = tmp_path_factory.mktemp("scanned")
    demo = Demo(directory / "data")
    site = SitePackages(directory / "site-packages")
    fill(site)
    demo.run("migrate", "--verbosity", 0)
    demo.run("track", "--path", site.path)
    site.uninstall("beta", "1.5")
    site.install("beta", "2.0", "License: Apache 2.0", requires=["gamma-ray"])
    site.uninstall("plain-00", "1.0")
    site.install("epsilon", "1.0", "License: MIT")
    demo.run("track", "--path", site.path)
    demo.run(
        "createsuperuser", "--noinput", "--username=admin", "--email=admin@example.com"
    )
    return demo


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
