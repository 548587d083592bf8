"""Projects with development databases of each kind."""

import pytest

from . import engines, projects
from .engines import available


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A process that runs commands."""
    server = projects.started(
        tmp_path_factory.mktemp("dbdev"), "-c", projects.SERVER, start_new_session=True
    )
    yield server
    server.kill()
    server.communicate()


@pytest.fixture
def make(server):
    """Makes projects; what is left of them is removed in the end."""
    made = []

    def make(databases, settings=None, before=""):
        made.append(projects.Project(server, databases, settings, before))
        return made[-1]

    yield make
    for project in made:
        project.close()


# One without and one with a server, those that are made in the least time.
@pytest.fixture(params=engines.params(engines.ALL, [engines.SQLITE]))
def engine(request):
    """Each kind of database that can be had here."""
    return available(request.param)


@pytest.fixture(params=engines.params(engines.SERVERS, [engines.IMMUDB]))
def server_engine(request):
    """Each kind of database that has a server."""
    return available(request.param)


@pytest.fixture
def postgresql():
    return available(engines.POSTGRESQL)


@pytest.fixture
def project(make, engine):
    """A project with one database of each kind in turn."""
    return make({"default": engine.settings()}, before=engine.before)


@pytest.fixture
def server_project(make, server_engine):
    """A project with one database of each kind that has a server."""
    return make({"default": server_engine.settings()}, before=server_engine.before)
