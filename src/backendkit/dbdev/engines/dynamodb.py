"""DynamoDB Local: Amazon's own program for development, in Java."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from backendkit.dbdev import process
from backendkit.dbdev.base import Finding
from backendkit.dbdev.copying import CopiedServerBackend
from backendkit.dbdev.errors import DbdevError, MissingProgramError
from backendkit.dbdev.programs import Program

#: The newest version whose parts can all be had.
VERSION = "3.1.0"

DBSETTINGS = {
    "ENGINE": "backendkit.backends.dynamodb",
    "NAME": "dbdev",
    "USER": "",
    "HOST": "127.0.0.1",
}

JAVA = Program(
    ("java",),
    "DBDEV_DYNAMODB_JAVA_EXECUTABLE",
    {
        "apt-get": "openjdk-17-jdk-headless",
        "dnf": "java-17-openjdk-devel",
        "pacman": "jdk-openjdk",
        "apk": "openjdk17",
        "brew": "openjdk",
    },
)
# Fetches the program, and isn't needed afterwards.
MAVEN = Program(
    ("mvn",),
    "DBDEV_DYNAMODB_MAVEN_EXECUTABLE",
    dict.fromkeys(("apt-get", "dnf", "pacman", "apk", "brew"), "maven"),
)
_HERE = Path(__file__).parent
_LAUNCHER = _HERE / "DynamoDBLocal.java"
_POM = _HERE / "dynamodb-pom.xml"


def cached() -> Path:
    """Where ``make dynamodb`` puts the program, whether it is there or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "django-backendkit", "dynamodb-local", VERSION)


def find(named: str | os.PathLike[str] | None = None) -> list[Path]:
    """
    Return the folders of the program's jar files.

    :param named: where it is, if it isn't where ``make dynamodb`` puts it.
    :raises MissingProgramError: it isn't there; the message says how to get it.
    """
    named = named or os.environ.get("DBDEV_DYNAMODB_DIR")
    root = Path(named) if named else cached()
    # As Maven copies it, or as Amazon packs it.
    folders = [root, root / "DynamoDBLocal_lib"]
    if any(root.glob("DynamoDBLocal*.jar")):
        return folders
    if named:
        raise MissingProgramError(
            f"DBDEV_DYNAMODB_DIR: there is no DynamoDBLocal.jar in {named}"
        )
    before = "" if MAVEN.find(None) else f"{MAVEN.hint()} && "
    raise MissingProgramError(
        f"DynamoDB Local isn't installed. To install it: {before}mvn -B"
        f" dependency:copy-dependencies -f {_POM} -DoutputDirectory={root}. If it is"
        " installed elsewhere, name its folder in the setting DBDEV_DYNAMODB_DIR"
    )


class DynamodbBackend(CopiedServerBackend):
    """A server that takes any credentials, and listens on the loopback interface."""

    display_name = "DynamoDB Local"
    url_scheme = "dynamodb"

    def programs(self) -> Sequence[Program]:
        """Return Java's."""
        return (JAVA,)

    def _folders(self) -> list[Path]:
        return find(self.setting("DBDEV_DYNAMODB_DIR"))

    def check_programs(self) -> None:
        """Check that Java, its compiler and the program are there."""
        super().check_programs()
        self._check_compiler()
        self._folders()

    def _check_compiler(self) -> None:
        """
        Check that Java can run a program from its source.

        :raises MissingProgramError: it is one without a compiler.
        """
        java = Path(self.program(JAVA))
        if java.resolve().with_name("javac").exists():
            return
        if b"jdk.compiler" not in process.run([str(java), "--list-modules"]):
            raise MissingProgramError(
                f"{java} is a Java without a compiler. To install one with a"
                f" compiler: {JAVA.hint()}"
            )

    def version(self) -> str:
        """Return the version that the name of its file has."""
        jars = [
            jar for folder in self._folders() for jar in folder.glob("DynamoDBL*.jar")
        ]
        return f"DynamoDB Local {jars[0].stem.removeprefix('DynamoDBLocal-')}"

    def create_data(self, folder: Path) -> None:
        """Leave the folder empty: the server makes a file in it when it is used."""

    def server_command(self) -> list[str]:
        """Return the server's command line."""
        return [
            self.program(JAVA),
            "-Xmx256m",
            # It is ready sooner; nobody measures it.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            os.pathsep.join(f"{folder}/*" for folder in self._folders()),
            str(_LAUNCHER),
            "-port",
            str(self.port),
            "-disableTelemetry",
            "-dbPath",
            str(self.instance.data),
            "-sharedDb",
        ]

    def is_ready(self) -> bool:
        """Whether it answers at all; to no question, it says that it is a bad one."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.client.BAD_REQUEST
        except OSError:
            return False
        finally:
            connection.close()

    def findings(self) -> Iterator[Finding]:
        """Look for the program and for Java's compiler, too."""
        try:
            self._check_compiler()
            yield Finding(True, f"{self.version()}: {self._folders()[0]}")
        except DbdevError as error:
            yield Finding(False, str(error))
        yield from super().findings()
