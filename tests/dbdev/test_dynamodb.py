"""DynamoDB Local by its commands; items by its own protocol."""

import http.client
import json
import os
import signal
import socket

import pytest

from backendkit.dbdev.engines import dynamodb
from backendkit.dbdev.errors import MissingProgramError

# Beside another one: the models' default database needs an ENGINE.
DATABASES = {
    "default": "dbsettings('sqlite', BASE_DIR)",
    "cloud": "dbsettings('dynamodb', BASE_DIR, 'cloud')",
}
CLOUD = "--database=cloud"


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


def test_life(project):
    project.manage("dbdev_init", CLOUD)
    # Nothing is in it yet.
    project.manage("dbdev_backup", CLOUD, "--name=empty")
    call(
        project,
        "CreateTable",
        TableName="item",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    add(project, "one")
    project.manage("dbdev_backup", CLOUD)
    add(project, "two")
    assert names(project) == ["one", "two"]
    project.manage("dbdev_restore", CLOUD, "--noinput")
    assert names(project) == ["one"]
    project.manage("dbdev_destroy", CLOUD, "--noinput")
    project.manage("dbdev_restore", CLOUD)
    assert names(project) == ["one"]
    os.kill(project.info("cloud")["pid"], signal.SIGKILL)
    project.manage("dbdev_startserver", CLOUD)
    assert names(project) == ["one"]
    project.manage("dbdev_restore", CLOUD, "--name=empty", "--noinput")
    assert call(project, "ListTables")["TableNames"] == []
    assert "--endpoint-url" in project.manage("dbdev_guide", CLOUD).out
    project.manage("dbdev_stopserver", CLOUD)


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
