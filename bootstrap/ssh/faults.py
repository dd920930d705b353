"""What can be wrong on the way to a node, one row each: its sentence, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bootstrap.errors import Code, Problem


@dataclass(frozen=True, slots=True)
class Fault:
    """A sentence and what to type next; words in braces are what was found. All of them end with exit code 5."""

    name: str
    what: str
    next: str


FAULTS: tuple[Fault, ...] = (
    # from here to its sshd
    Fault(
        "UnknownName",
        "the name {place} leads nowhere",
        "correct ssh.host in cluster.yaml, or let this workstation resolve it (DNS, /etc/hosts)",
    ),
    Fault(
        "NoAnswer",
        "{place} does not answer within {seconds} s",
        "see whether it is up, and what is between (routes, firewalls); try: ssh -p {port} {user}@{host}",
    ),
    Fault(
        "NothingListens",
        "nothing listens on {place}",
        "start sshd there (systemctl start ssh), or name its port: ssh.port in cluster.yaml",
    ),
    Fault("NoWay", "there is no way to {place}", "see routes and firewalls here (ip route get {host})"),
    Fault(
        "NoSsh",
        "what answers on {place} does not come to terms with us as an SSH server",
        "see what listens there, and its log (journalctl -u ssh); try: ssh -v -p {port} {user}@{host}",
    ),
    Fault(
        "JumpRefuses",
        "the jump host {hop} does not lead on to {place}",
        "try: ssh -J {hop} -p {port} {user}@{host}; on the jump host, sshd_config has to have AllowTcpForwarding yes",
    ),
    Fault(
        "JumpsInCircles",
        "the way to {place} leads over itself",
        "correct ssh.jump in cluster.yaml, or ProxyJump in ssh's configuration",
    ),
    Fault(
        "ProxyFails",
        "the ProxyCommand for {place} leads to no SSH server",
        "correct it in ssh's configuration (ssh -G {host} shows it), or name another one: ssh.configFile",
    ),
    Fault(
        "WrongSshConfiguration",
        "ssh can't read its configuration for {place}",
        "correct it (ssh -G {host} shows where), or name another one, or none: ssh.configFile in cluster.yaml",
    ),
    # whether it is the right one
    Fault(
        "UnknownHostKey",
        "the host key of {place} is not known: it shows {fingerprint}",
        "compare it with what the machine itself says (there: ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub); if it "
        "is the same, pin it: ssh.hostKey in cluster.yaml (ssh-keyscan -t {kind} -p {port} {host} prints it)",
    ),
    Fault(
        "ChangedHostKey",
        "{place} shows another host key than the one that is known: it shows {fingerprint}",
        "if the machine was rebuilt, put its new key in the place of the old one (ssh.hostKey in cluster.yaml; else: "
        "ssh-keygen -R '{name}'); else see who answers there",
    ),
    Fault(
        "RevokedHostKey", "{place} shows a host key that is revoked: {fingerprint}", "give the machine a new host key"
    ),
    # whether it lets us in
    Fault(
        "KeyRefused",
        "{user}@{place} does not accept our key",
        "ssh-copy-id -p {port} {user}@{host}, or name another one: ssh.identityFile in cluster.yaml",
    ),
    Fault(
        "TooManyKeys",
        "{user}@{place} has heard enough keys of ours before the right one",
        "name it: ssh.identityFile in cluster.yaml",
    ),
    Fault(
        "NoKey",
        "there is no key to log in with as {user}@{place}",
        "name one: ssh.identityFile in cluster.yaml; or start an agent (ssh-add -l), or make one (ssh-keygen)",
    ),
    Fault("MissingKey", "the private key {path} can't be read", "correct ssh.identityFile in cluster.yaml"),
    Fault(
        "UnusableKey",
        "{path} is no private key that can be used here",
        "name the private half, of kind ed25519, ecdsa or rsa: ssh.identityFile in cluster.yaml; keys of hardware go "
        "through an agent",
    ),
    Fault(
        "LockedKey",
        "the private key {path} has a passphrase, and there is nobody to ask for it",
        "ssh-add {path}; or name where it is: ssh.passphraseFile or ssh.passphraseEnv in cluster.yaml",
    ),
    Fault("WrongPassphrase", "the passphrase of {path} is wrong", "try it: ssh-keygen -y -f {path}"),
    Fault(
        "SecretMissing",
        "{what}, which cluster.yaml names for a secret, is not there",
        "make it, or correct ssh in cluster.yaml",
    ),
    # whether it lets us work
    Fault(
        "NoShell",
        "{user}@{place} runs no programs for us",
        "give {user} a shell on the node (chsh), or log in as somebody else: ssh.user in cluster.yaml",
    ),
    Fault(
        "NoSudo",
        "{user}@{place} has no sudo",
        "install sudo on the node, or log in as root: ssh.user in cluster.yaml",
    ),
    Fault(
        "SudoPassword",
        "sudo asks {user}@{place} for a password, and there is nobody to ask for it",
        "name where it is: ssh.sudoPasswordFile or ssh.sudoPasswordEnv in cluster.yaml; or, on the node (visudo): "
        "{user} ALL=(ALL) NOPASSWD: ALL",
    ),
    Fault(
        "WrongSudoPassword",
        "the sudo password of {user} is wrong, says {place}; it was tried once, and nowhere else",
        "run the same command again with the right one",
    ),
    Fault(
        "NotInSudoers",
        "{user} may not become root by sudo on {place}",
        "on the node (visudo): {user} ALL=(ALL) ALL; or log in as somebody else: ssh.user in cluster.yaml",
    ),
    Fault(
        "SudoTerminal",
        "sudo on {place} wants a terminal, which programs do not have",
        "on the node (visudo): Defaults:{user} !requiretty",
    ),
    Fault(
        "SudoRefuses",
        "sudo on {place} does not let {user} become root",
        "try it: ssh -t -p {port} {user}@{host} sudo true",
    ),
    Fault(
        "NoForwarding",
        "sshd on {place} does not forward to its own node, and the node has neither socat nor bash nor nc",
        "in sshd_config on the node: AllowTcpForwarding local (and no DisableForwarding); then: systemctl reload ssh",
    ),
    Fault(
        "Broken",
        "the connection to {place} broke",
        "run the same command again: it goes on where this one ended",
    ),
    Fault(
        "Silent",
        "{place} did not end within {seconds} s what it was asked to do",
        "run the same command again: it looks at what was done meanwhile; if it stays so, see what keeps the node busy",
    ),
)
_ROWS = {fault.name: fault for fault in FAULTS}


def problem(fault: str, words: Mapping[str, object], why: str = "", kind: type[Problem] = Problem) -> Problem:
    """The row of this name as a Problem, with these words in it; `node`, if there is one, goes before its sentence."""
    row = _ROWS[fault]
    what, next = (text.format_map(words) for text in (row.what, row.next))
    node = words.get("node")
    return kind(f"{node}: {what}" if node else what, why=why, next=next, code=Code.UNREACHABLE)
