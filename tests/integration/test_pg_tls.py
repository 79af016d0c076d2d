# SPDX-License-Identifier: MIT
"""PostgreSQL over TLS, as libpq's own parameters ask for it."""

import shutil

import pytest

from support.certificates import Authority
from support.postbus import Postbus, PostgreSQLDatabase
from support.servers import PostgreSQL


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


class SecurePostgreSQL(PostgreSQL):
    def __init__(self, authority):
        super().__init__(ssl="on")
        for kind, path in zip(("cert", "key"), authority.issue("database")):
            own = self.directory / f"server.{kind}"
            shutil.copy(path, own)
            own.chmod(0o600)
            if self.user is not None:
                shutil.chown(own, self.user)
            self.settings[f"ssl_{kind}_file"] = own


@pytest.fixture(scope="module")
def secure_server(authority):
    with SecurePostgreSQL(authority) as server:
        yield server


def command(server, directory, parameters):
    database = PostgreSQLDatabase(server, "postgres")
    database.url += f"?sslmode=verify-full&{parameters}"
    return Postbus(database, directory)


def test_a_trusted_server_is_used(secure_server, authority, tmp_path):
    trusted = f"sslrootcert={authority.certificate}"
    result = command(secure_server, tmp_path, trusted).run("migrate")
    assert "version" in result.stdout


def test_parameters_may_come_from_the_environment(secure_server, authority, tmp_path):
    postbus = command(secure_server, tmp_path, "notify=on")
    postbus.run("migrate", PGSSLROOTCERT=str(authority.certificate))


def test_a_server_of_another_authority_is_refused(secure_server, tmp_path):
    other = Authority(tmp_path / "other")
    strange = f"sslrootcert={other.certificate}"
    result = command(secure_server, tmp_path, strange).run("migrate", check=False)
    assert result.returncode == 1
    assert "certificate verify failed" in result.stderr


def test_a_server_without_tls_is_refused(postgresql, authority, tmp_path):
    trusted = f"sslrootcert={authority.certificate}"
    result = command(postgresql, tmp_path, trusted).run("migrate", check=False)
    assert result.returncode == 1
    assert "SSL" in result.stderr
