"""PostgreSQL with PostGIS: its extension is in every database."""

import ctypes.util

import pytest

CODE = """
from django.db import connection
cursor = connection.cursor()
cursor.execute({statement!r})
print(cursor.fetchall() if cursor.description else cursor.rowcount)
"""


@pytest.fixture
def project(make, postgresql):
    missing = [
        name for name in ("gdal", "geos_c") if ctypes.util.find_library(name) is None
    ]
    if missing:
        pytest.skip(f"GeoDjango needs the libraries {', '.join(missing)}")
    project = make({"default": "dbsettings('postgis', BASE_DIR)"})
    try:
        project.manage("dbdev_doctor")
    except AssertionError as error:
        if "PostgreSQL here has no PostGIS" in str(error):
            pytest.skip("needs PostGIS: apt-get install postgresql-postgis")
        raise
    return project


def execute(project, statement):
    code = CODE.format(statement=statement)
    return project.manage("shell", "-v0", "-c", code).out.strip()


@pytest.mark.check
def test_life(project):
    project.manage("dbdev_init")
    execute(project, "CREATE TABLE place (point geometry(Point, 4326))")
    execute(project, "INSERT INTO place VALUES ('SRID=4326;POINT(13.4 52.5)')")
    project.manage("dbdev_backup")
    execute(project, "DELETE FROM place")
    project.manage("dbdev_restore", "--noinput")
    assert execute(project, "SELECT ST_X(point) FROM place") == "[(13.4,)]"
    # The user is no superuser, and test databases have the extension all the same.
    execute(project, "CREATE DATABASE test_dbdev")
    assert "PostgreSQL" in project.manage("dbdev_guide").out


def test_missing_extension(make, postgresql):
    """It is said before a cluster is made."""
    before = """
from pathlib import Path
from backendkit.dbdev.engines.postgis import PostGisBackend
PostGisBackend._control_file = lambda self: Path("/no/such/file")
"""
    # GeoDjango's own libraries may be missing: models are of another database.
    databases = {
        "default": "dbsettings('sqlite', BASE_DIR)",
        "map": "dbsettings('postgis', BASE_DIR, 'map')",
    }
    project = make(databases, before=before)
    said = project.manage("dbdev_init", "--database=map", status=1).line
    assert "has no PostGIS (/no/such/file is missing)" in said
    assert not (project.folder("map") / "data").exists()
