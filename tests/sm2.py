"""SM2 certificates made by OpenSSL at test time: an authority, and what it issues with any usage and dates."""

from __future__ import annotations

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

ID = "distid:1234567812345678"
"""The user id under which SM2 signs (GM/T 0009)."""
SIGNING, ENCRYPTION = "digitalSignature,nonRepudiation", "keyEncipherment,dataEncipherment,keyAgreement"
_CONFIG = """
[ca]
default_ca = city
[city]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sm3
policy = any
unique_subject = no
email_in_dn = no
rand_serial = yes
[any]
countryName = optional
organizationName = optional
commonName = supplied
[req]
distinguished_name = dn
[dn]
"""


class Authority:
    """An SM2 authority in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl")
        self.folder = folder
        (folder / "ca.cnf").write_text(_CONFIG)
        (folder / "index.txt").touch()
        if not self.can("ecparam -genkey -name SM2 -noout -out ca.key"):
            pytest.skip("this openssl does not know SM2")
        self.run(
            f"req -x509 -new -sm3 -sigopt {ID} -key ca.key -subj /C=CN/CN=City-SM2-CA -days 3650 "
            "-out ca.pem -config ca.cnf"
        )

    def can(self, command: str) -> bool:
        """Run openssl; whether it could."""
        return subprocess.run(["openssl", *command.split()], cwd=self.folder, capture_output=True).returncode == 0

    def run(self, command: str) -> bytes:
        """Run openssl; what it prints."""
        return subprocess.run(["openssl", *command.split()], cwd=self.folder, capture_output=True, check=True).stdout

    def issue(
        self, name: str, usage: str, begins: datetime, ends: datetime, *, key: str = "SM2", digest: str = "sm3"
    ) -> bytes:
        """A certificate in DER, for ``CN=name``; ``key`` is SM2, rsa or the name of a key made before."""
        files = f"{name}-{usage[:4]}"
        if key == "SM2":
            self.run(f"ecparam -genkey -name SM2 -noout -out {files}.key")
        elif key == "rsa":
            self.run(f"genrsa -out {files}.key 2048")
        else:
            (self.folder / f"{files}.key").write_bytes((self.folder / f"{key}.key").read_bytes())
        distid = f"-sigopt {ID} " if key != "rsa" else ""
        own = "sm3" if key != "rsa" else "sha256"
        self.run(f"req -new -{own} {distid}-key {files}.key -subj /C=CN/CN={name} -out {files}.csr -config ca.cnf")
        (self.folder / f"{files}.ext").write_text(f"keyUsage = critical,{usage}\nbasicConstraints = CA:FALSE\n")
        check = f"-vfyopt {ID} " if key != "rsa" else ""
        self.run(
            f"ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -md {digest} -sigopt {ID} {check}"
            f"-in {files}.csr -out {files}.pem -extfile {files}.ext "
            f"-startdate {begins:%Y%m%d%H%M%SZ} -enddate {ends:%Y%m%d%H%M%SZ}"
        )
        return self.run(f"x509 -in {files}.pem -outform DER")
