"""A certificate authority for tests: certificates of a server and of users, and RFC 3820 proxies of them."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.x509.oid import NameOID

#: proxyCertInfo, and its policy to inherit all rights
_PROXY_INFO = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"), bytes.fromhex("300c300a06082b06010505071501")
)


class Authority:
    """Signs what it is asked to and writes it into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key, self._name = generate_private_key(SECP256R1()), _name("Authority")
        root = x509.BasicConstraints(ca=True, path_length=None)
        self.path = self._write("ca.pem", self._sign(self._name, self._key, root, days=1))

    def server(self) -> ssl.SSLContext:
        """TLS of 127.0.0.1 that asks each client for a certificate, and takes a proxy for one."""
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        key = generate_private_key(SECP256R1())
        certificate = self._sign(_name("127.0.0.1"), key, here, days=1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._write("server.pem", certificate, key))
        context.load_verify_locations(self.path)
        # in 1.3 a client may miss why it was refused
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_ALLOW_PROXY_CERTS
        return context

    def user(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a user, a file each; the proxy below is of the last one."""
        self._user, self._user_key = _name(name), generate_private_key(SECP256R1())
        signs = x509.KeyUsage(True, *[False] * 8)
        self._user_certificate = self._sign(self._user, self._user_key, signs, days=1)
        return self._write("usercert.pem", self._user_certificate), self._write("userkey.pem", self._user_key)

    def proxy(self, *, days: float = 0.5) -> Path:
        """A proxy of that user as voms-proxy-init writes it; expired where `days` is negative."""
        key = generate_private_key(SECP256R1())
        name = x509.Name([*self._user, x509.NameAttribute(NameOID.COMMON_NAME, "1234567")])
        proxy = _signed(name, key, (self._user, self._user_key), _PROXY_INFO, days)
        return self._write("proxy.pem", proxy, key, self._user_certificate)

    def _sign(
        self, name: x509.Name, key: EllipticCurvePrivateKey, extension: x509.ExtensionType, *, days: float
    ) -> x509.Certificate:
        return _signed(name, key, (self._name, self._key), extension, days)

    def _write(self, name: str, *parts: x509.Certificate | EllipticCurvePrivateKey) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(b"".join(map(_pem, parts)))
        return path


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _signed(
    name: x509.Name,
    key: EllipticCurvePrivateKey,
    by: tuple[x509.Name, EllipticCurvePrivateKey],
    extension: x509.ExtensionType,
    days: float,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(by[0])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(extension, critical=True)
        .sign(by[1], hashes.SHA256())
    )


def _pem(part: x509.Certificate | EllipticCurvePrivateKey) -> bytes:
    if isinstance(part, x509.Certificate):
        return part.public_bytes(serialization.Encoding.PEM)
    return part.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
