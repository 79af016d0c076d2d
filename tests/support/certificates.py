# SPDX-License-Identifier: MIT
"""Certificates of the tests' own making, through the openssl command."""

import subprocess
from pathlib import Path

from support.process import require

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """A certificate authority that nobody else knows; its files in `directory`."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir()
        self.certificate = self.directory / "ca.pem"
        self.key = self.directory / "ca.key"
        _openssl(
            *("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=authority"),
            *("-keyout", self.key, "-out", self.certificate),
        )

    def issue(self, name, subject="IP:127.0.0.1", days=1):
        """(certificate, key) for a subject; -1 days: it has expired."""
        certificate = self.directory / f"{name}.pem"
        key = self.directory / f"{name}.key"
        request = self.directory / f"{name}.csr"
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName = {subject}\n")
        _openssl(
            *("req", *NEW_KEY, "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", days, "-extfile", extensions),
            *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
            *("-out", certificate),
        )
        return certificate, key


def _openssl(*arguments):
    subprocess.run(
        [require("openssl"), *map(str, arguments)], check=True, capture_output=True
    )
