"""Every certificate, key and kubeconfig of a cluster: the rows, who makes them, and where they go.

The workstation keeps them in a store, any mapping of relative names to bytes: `pki/…` holds the authorities and
what nodes share, `nodes/<node>/…` what is each node's own, `operator/…` what this tool shows of itself.
"""

from bootstrap.credentials.delivery import Identity, api_identity, authority, etcd_identity, files, pin, uid
from bootstrap.credentials.issuing import issue
from bootstrap.credentials.lasting import ends
from bootstrap.credentials.passphrases import Passphrase, decrypt, encrypt, nobody, wrong_passphrase

__all__ = [
    "Identity",
    "Passphrase",
    "api_identity",
    "authority",
    "decrypt",
    "encrypt",
    "ends",
    "etcd_identity",
    "files",
    "issue",
    "nobody",
    "pin",
    "uid",
    "wrong_passphrase",
]
