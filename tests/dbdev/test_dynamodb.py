"""DynamoDB Local by its commands; items by its own protocol."""

import http.client
import json
import os
import signal
import socket

import pytest

from backendkit.dbdev import ports
from backendkit.dbdev.engines import dynamodb
from backendkit.dbdev.errors import MissingProgramError

from .projects import wait_for

# Beside another one: the models' default database needs an ENGINE.
DATABASES = {
    "default": "dbsettings('sqlite', BASE_DIR)",
    "cloud": "dbsettings('dynamodb', BASE_DIR, 'cloud')",
}
CLOUD = "--database=cloud"
ITEM = {
    "TableName": "item",
    "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "name", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def project(make):
    missing = None
    if dynamodb.JAVA.find(None) is None:
        missing = f"needs Java: {dynamodb.JAVA.hint()}"
    try:
        dynamodb.find()
    except MissingProgramError as error:
        missing = str(error)
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    return make(DATABASES)


def call(project, operation, **request):
    """Any credentials will do, if they have the right form."""
    key = "Credential=x/20200101/local/dynamodb/aws4_request"
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 {key}, SignedHeaders=host, Signature=x",
    }
    connection = http.client.HTTPConnection("127.0.0.1", project.info("cloud")["port"])
    connection.request("POST", "/", json.dumps(request), headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def names(project):
    items = call(project, "Scan", TableName="item")["Items"]
    return sorted(item["name"]["S"] for item in items)


def add(project, name):
    call(project, "PutItem", TableName="item", Item={"name": {"S": name}})


@pytest.mark.check
def test_life(project):
    project.manage("dbdev_init", CLOUD)
    # Nothing is in it yet.
    project.manage("dbdev_backup", CLOUD, "--name=empty")
    call(project, "CreateTable", **ITEM)
    add(project, "one")
    project.manage("dbdev_backup", CLOUD)
    add(project, "two")
    assert names(project) == ["one", "two"]
    project.manage("dbdev_restore", CLOUD, "--noinput")
    assert names(project) == ["one"]
    project.manage("dbdev_destroy", CLOUD, "--noinput")
    project.manage("dbdev_restore", CLOUD)
    assert names(project) == ["one"]
    project.kill_server("cloud")
    project.manage("dbdev_startserver", CLOUD)
    assert names(project) == ["one"]
    project.manage("dbdev_restore", CLOUD, "--name=empty", "--noinput")
    assert call(project, "ListTables")["TableNames"] == []
    assert "--endpoint-url" in project.manage("dbdev_guide", CLOUD).out
    project.manage("dbdev_stopserver", CLOUD)


@pytest.mark.check
def test_foreground(project):
    """Ctrl-C stops it."""
    project.manage("dbdev_init", CLOUD)
    project.manage("dbdev_stopserver", CLOUD)
    with project.start("dbdev_fgrunserver", CLOUD) as process:
        wait_for(lambda: ports.answers(project.info("cloud")["port"]))
        assert call(project, "ListTables")["TableNames"] == []
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.endswith("The server is stopped.\n")
    assert not project.info("cloud")["running"]


@pytest.mark.check
def test_after_a_reboot(project):
    """The id that was noted is another process's now; that is left alone."""
    project.manage("dbdev_init", CLOUD)
    project.kill_server("cloud")
    with project.start("shell", "-c", "import time; time.sleep(60)") as other:
        project.change_state("cloud", pid=other.pid, started="another boot 1")
        assert "doesn't run" in project.manage("dbdev_stopserver", CLOUD).out
        project.manage("dbdev_startserver", CLOUD)
        assert call(project, "ListTables")["TableNames"] == []
        assert other.poll() is None
        other.kill()


@pytest.mark.check
def test_two_projects(make, project):
    """Each has its port and its data."""
    other = make(DATABASES)
    for each in (project, other):
        each.manage("dbdev_init", CLOUD)
    assert project.info("cloud")["port"] != other.info("cloud")["port"]
    call(project, "CreateTable", **ITEM)
    assert call(project, "ListTables")["TableNames"] == ["item"]
    assert call(other, "ListTables")["TableNames"] == []


@pytest.mark.check
def test_port_taken(project):
    project.manage("dbdev_init", CLOUD)
    project.manage("dbdev_stopserver", CLOUD)
    port = project.info("cloud")["port"]
    with socket.create_server(("127.0.0.1", port)):
        assert (
            f"Another program uses port {port}"
            in project.manage("dbdev_startserver", CLOUD).err
        )
        assert call(project, "ListTables")["TableNames"] == []


@pytest.mark.check
def test_disk_full_in_mid_backup(project):
    """It is said, and the server runs again."""
    project.manage("dbdev_init", CLOUD)
    call(project, "CreateTable", **ITEM)
    folder = project.folder("cloud") / "backups"
    folder.mkdir()
    done = project.with_full_disk("dbdev_backup", CLOUD, folder=folder)
    assert done.returncode == 1
    assert "CommandError: the backup can't be written" in done.stderr
    assert list(folder.iterdir()) == []
    assert call(project, "ListTables")["TableNames"] == ["item"]


@pytest.mark.check
def test_it_listens_on_the_loopback_interface_alone(project):
    project.manage("dbdev_init", CLOUD)
    port = project.info("cloud")["port"]
    # Another address of this machine, which a server on all interfaces would take.
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))


def test_missing_program(project):
    nothing = {"DBDEV_DYNAMODB_DIR": "/no/such/folder"}
    said = project.manage("dbdev_init", CLOUD, status=1, environment=nothing).line
    assert "no DynamoDBLocal.jar in /no/such/folder" in said
    nothing = {"XDG_CACHE_HOME": "/no/such/folder"}
    said = project.manage("dbdev_init", CLOUD, status=1, environment=nothing).line
    assert "mvn -B dependency:copy-dependencies -f /" in said
    out = project.manage("dbdev_doctor", CLOUD, status=1, environment=nothing).out
    assert "mvn -B dependency:copy-dependencies -f /" in out


def test_java_without_its_compiler(project):
    """Many have only what runs programs."""
    java = project.path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho java.base@17\n")
    java.chmod(0o755)
    settings = {"DBDEV_DYNAMODB_JAVA_EXECUTABLE": str(java)}
    project.configure(DATABASES, settings)
    said = project.manage("dbdev_init", CLOUD, status=1).line
    assert (
        f"{java} is a Java without a compiler. To install one with a compiler: " in said
    )
