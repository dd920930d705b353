"""Three strangers' opinions of our certificates: OpenSSL, the verifier of `cryptography`, and pkilint."""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pkilint import loader
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity

# Names without a dot are what Kubernetes calls its Service, its authorities and most nodes; pkilint knows only those
# of the public Internet: RFC 5280 §4.2.1.6 wants the "preferred name syntax", which does have single labels.
ALLOWED = re.compile(r'pkix\.invalid_domain_name_syntax: Invalid domain name syntax: "[a-z0-9-]+"')


def openssl_refuses(authority: bytes, leaves: Iterable[bytes], purpose: str, now: datetime) -> list[str]:
    """What OpenSSL has against these leaves (PEM) as "sslserver" or "sslclient", strictly by RFC 5280."""
    with TemporaryDirectory() as name:
        root, refused = Path(name, "authority.pem"), []
        root.write_bytes(authority)
        options = ["-x509_strict", "-purpose", purpose, "-attime", f"{now.timestamp():.0f}", "-CAfile", str(root)]
        for leaf in leaves:
            command = ["openssl", "verify", *options]
            judged = subprocess.run(command, input=leaf, capture_output=True, check=False)
            if judged.returncode:
                refused.append((judged.stdout + judged.stderr).decode())
        return refused


def cryptography_refuses(authority: bytes, leaf: bytes, host: str, now: datetime) -> str:
    """What `cryptography` has against this leaf (PEM) as the server of `host`, a name or an address; "": nothing."""
    store = Store([x509.load_pem_x509_certificate(authority)])
    try:
        subject: x509.verification.Subject = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(subject)
    try:
        verifier.verify(x509.load_pem_x509_certificate(leaf), [])
    except VerificationError as refused:
        return str(refused)
    return ""


def pkilint_finds(pem: bytes) -> list[str]:
    """pkilint's warnings and errors about a certificate, less those ALLOWED."""
    document = loader.RFC5280CertificateDocumentLoader().load_pem_document(pem.decode(), "certificate")
    found = (
        f"{description.finding.code}: {description.message}"
        for result in _lint().validate(document.root)
        for description in result.finding_descriptions
        if description.finding.severity <= ValidationFindingSeverity.WARNING  # the worse, the lower
    )
    return [finding for finding in found if not ALLOWED.fullmatch(finding)]


@cache
def _lint() -> Any:
    """The validators of the program lint_pkix_cert."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
