"""TLS and mutual TLS, with certificates made here by openssl."""

import shutil
import subprocess

import pytest

from .servers import Server

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory, name):
        self.directory = directory
        directory.mkdir()
        self.key, self.certificate = directory / "ca.key", directory / "ca.pem"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self.key, "-out", self.certificate),
        )

    def issue(self, name, alternative):
        """Return the files of a certificate and its key."""
        key, request, certificate, extensions = (
            self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem", "ext")
        )
        extensions.write_text(f"subjectAltName={alternative}\n")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
            *("-out", certificate),
        )
        return certificate, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    return Authority(tmp_path_factory.mktemp("tls") / "ca", "Ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory, authority):
    return Authority(tmp_path_factory.mktemp("tls") / "stranger", "Nobody's")


def running(certificate, key, **options):
    return Server(options={"certificate": certificate, "pkey": key, **options})


@pytest.fixture(scope="module")
def tls_server(immudb_program, authority):
    with running(*authority.issue("server", "IP:127.0.0.1,DNS:db.example")) as server:
        yield server


@pytest.fixture(scope="module")
def mutual_server(immudb_program, authority):
    certificate, key = authority.issue("mutual", "DNS:db.example")
    with running(
        certificate, key, mtls="true", clientcas=authority.certificate
    ) as server:
        yield server


def answer(server, **options):
    arguments = {"port": server.port, "password": server.password, **options}
    with driver.connect(**arguments, autocommit=True) as connection:
        return connection.query("SELECT 1").rows


class TestTLS:
    def test_a_certificate_of_a_known_authority_is_trusted(self, tls_server, authority):
        ca = authority.certificate
        assert answer(tls_server, ca=ca) == [(1,)]
        assert answer(tls_server, ca=str(ca), server_name="db.example") == [(1,)]

    def test_a_stranger_is_not(self, tls_server, stranger):
        with pytest.raises(driver.OperationalError, match="does its certificate fit"):
            answer(tls_server, ca=stranger.certificate)

    def test_nor_is_it_without_its_authority(self, tls_server):
        with pytest.raises(driver.OperationalError, match="does its certificate fit"):
            answer(tls_server, tls=True)

    def test_nor_is_another_name(self, tls_server, authority):
        with pytest.raises(driver.OperationalError, match="does its certificate fit"):
            answer(tls_server, ca=authority.certificate, server_name="other.example")

    def test_plain_text_to_it_is_an_error_that_says_so(self, tls_server):
        with pytest.raises(driver.OperationalError, match="without TLS"):
            answer(tls_server)

    def test_tls_to_a_server_without_is_an_error(self, server, authority):
        with pytest.raises(driver.OperationalError, match="does its certificate fit"):
            answer(server, ca=authority.certificate)


class TestMutualTLS:
    def connect(self, server, authority, **options):
        return answer(
            server, ca=authority.certificate, server_name="db.example", **options
        )

    def test_both_show_a_certificate(self, mutual_server, authority):
        cert, key = authority.issue("client", "DNS:client.example")
        found = self.connect(mutual_server, authority, cert=cert, key=key)
        assert found == [(1,)]

    def test_immudb_lets_in_who_shows_none(self, mutual_server, authority):
        """It verifies a certificate if one is given; the docs warn of it."""
        assert self.connect(mutual_server, authority) == [(1,)]

    def test_nor_with_a_strangers(self, mutual_server, authority, stranger):
        cert, key = stranger.issue("client", "DNS:client.example")
        with pytest.raises(driver.OperationalError):
            self.connect(mutual_server, authority, cert=cert, key=key)


class TestDjango:
    """The same by OPTIONS, with Django's exceptions."""

    def use(self, server, **options):
        from tests.nonrel.databases import complete, default, run

        settings = {
            "ENGINE": "immudb_backend",
            "NAME": "defaultdb",
            "PASSWORD": server.password,
            "PORT": server.port,
            "OPTIONS": options,
        }
        with default(complete(settings)):
            return run("SELECT 1")

    def test_a_server_with_tls(self, database, tls_server, authority, stranger):
        from django.db import OperationalError

        assert self.use(tls_server, ca=authority.certificate) == [(1,)]
        for options in ({"ca": str(stranger.certificate)}, {"tls": True}):
            with pytest.raises(OperationalError, match="does its certificate fit"):
                self.use(tls_server, **options)
        with pytest.raises(OperationalError, match="without TLS"):
            self.use(tls_server)

    def test_a_server_without(self, database, server, authority):
        from django.db import OperationalError

        with pytest.raises(OperationalError, match="does its certificate fit"):
            self.use(server, ca=authority.certificate)
