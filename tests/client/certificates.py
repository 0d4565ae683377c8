"""A certificate whose authority nobody knows, as that of a company's proxy."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def with_own_certificate(file: Path) -> ssl.SSLContext:
    """Write a certificate for localhost and that of its authority to `file`, and return the context of a server that
    has it."""
    key, authority = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name, own = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("localhost", "own"))
    now = datetime.datetime.now(datetime.UTC)
    later = now + datetime.timedelta(days=1)
    made = x509.CertificateBuilder(own, name, key.public_key(), 1, now, later).add_extension(
        x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
    )
    root = x509.CertificateBuilder(own, own, authority.public_key(), 2, now, later).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    signed = (builder.sign(authority, hashes.SHA256()).public_bytes(encoding) for builder in (made, root))
    file.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain) + b"".join(signed))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
