"""A certificate authority, a server certificate for loopback, and node keys, made for one test."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
OPENSSH = serialization.Encoding.OpenSSH
UNPROTECTED = serialization.NoEncryption()


def write_server_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """ca.pem, server.pem and server.key in `folder`."""
    root_key, key = generate_private_key(SECP384R1()), generate_private_key(SECP384R1())
    root = unsigned("test root", "test root", root_key)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = unsigned("localhost", "test root", key)
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), critical=False)
    paths = (folder / "ca.pem", folder / "server.pem", folder / "server.key")
    paths[0].write_bytes(root.sign(root_key, hashes.SHA384()).public_bytes(PEM))
    paths[1].write_bytes(leaf.sign(root_key, hashes.SHA384()).public_bytes(PEM))
    paths[2].write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, UNPROTECTED))
    return paths


def write_node_key(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key of a SuperNode, as OpenSSH writes them."""
    key = generate_private_key(SECP384R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, UNPROTECTED))
    public.write_bytes(key.public_key().public_bytes(OPENSSH, serialization.PublicFormat.OpenSSH))
    return private, public


def unsigned(subject: str, issuer: str, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        subject_name=common_name(subject),
        issuer_name=common_name(issuer),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    )


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
