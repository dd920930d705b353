"""Why parts of a node are not healthy, in words: from what the node tells of them, and the table of symptoms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bootstrap.diagnosis import Diagnosis
from bootstrap.symptoms import SYMPTOMS, Symptom

LITTLE = 64 << 20  # bytes; with less than this a disk counts as full
APART = 60.0  # seconds by which clocks may differ
FIELDS = {
    "etcd": "etcd",
    "kube-apiserver": "apiServer",
    "kube-controller-manager": "controllerManager",
    "kube-scheduler": "scheduler",
    "kubelet": "kubelet",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a part is not healthy; `part` "" is the node."""

    part: str
    symptom: str
    cause: str
    next: str
    terminal: bool = False
    own: bool = False


def hopeless(told: Diagnosis, parts: Sequence[str]) -> bool:
    """Whether nobody has to wait any longer: one of these parts fails by what can't mend itself."""
    return any(cause.terminal for cause in causes(told, parts))


def fits(lines: Sequence[str], where: str) -> Iterator[tuple[str, Symptom, re.Match[str]]]:
    """(line, its symptom, what it matched); each line has one meaning at most."""
    for line in lines:
        for symptom in SYMPTOMS:
            if symptom.where in (where, "both") and (found := symptom.pattern.search(line)):
                yield line, symptom, found
                break


def causes(told: Diagnosis, parts: Sequence[str]) -> tuple[Cause, ...]:
    """Why these parts are not healthy, as far as it can be told: each cause once, the surest first."""
    found: dict[tuple[str, str], Cause] = {}
    for cause in (*_containers(told, parts), *_kubelet(told, parts), *_node(told)):
        known = found.get((cause.part, cause.cause))
        if known is None or (cause.terminal and not known.terminal):
            found[cause.part, cause.cause] = cause
    return tuple(sorted(found.values(), key=lambda cause: not cause.terminal))


def _containers(told: Diagnosis, parts: Sequence[str]) -> Iterator[Cause]:
    for part in parts:
        fresh = [attempt for attempt in told.attempts.get(part, ()) if not attempt.old]
        if not fresh:
            continue
        last = fresh[-1]
        if last.exit is not None and (last.reason == "OOMKilled" or (last.exit == 137 and told.kernel)):
            yield Cause(
                part,
                "OutOfMemory",
                f"{part} was ended for want of memory (exit code {last.exit})",
                f"give {told.node} more memory, or {part} a higher limit",
            )
        ended = [attempt for attempt in fresh if attempt.exit is not None]
        for attempt in ended[-1:] or fresh[-1:]:
            for _, symptom, match in fits(attempt.lines, "log"):
                everywhere = all(any(s is symptom for _, s, _ in fits(a.lines, "log")) for a in ended)
                twice = attempt.exit is not None and attempt.number >= 1 and everywhere
                yield _cause(told, part, symptom, match, terminal=symptom.terminal and twice)


def _kubelet(told: Diagnosis, parts: Sequence[str]) -> Iterator[Cause]:
    seen = [(line, symptom, match) for line, symptom, match in fits(told.journal, "journal")]
    times: dict[tuple[str, str], int] = {}
    for line, symptom, _ in seen:
        times[_whose(told, line), symptom.name] = times.get((_whose(told, line), symptom.name), 0) + 1
    for line, symptom, match in seen:
        part = _whose(told, line)
        if part in parts:
            yield _cause(told, part, symptom, match, terminal=symptom.terminal and times[part, symptom.name] >= 2)


def _whose(told: Diagnosis, line: str) -> str:
    """The pod that a line of the kubelet speaks of, else itself; a static pod is named <part>-<node>."""
    found = re.search(r"pod=\"[\w-]+/([\w.-]+)\"|pod ([\w.-]+)_[\w-]+\(", line)
    return (found[1] or found[2]).removesuffix(f"-{told.node}") if found else "kubelet"


def _cause(told: Diagnosis, part: str, symptom: Symptom, match: re.Match[str], *, terminal: bool) -> Cause:
    words = {name: (value or "").replace('\\"', '"').strip('\\"') for name, value in match.groupdict().items()}
    words |= {"part": part, "node": told.node, "field": FIELDS.get(part, f"the entry {part} under schedulers")}
    if "port" in words:
        words["owner"] = owner(told, int(words["port"]), part)
    text = symptom.cause.format_map(words)
    return Cause(part, symptom.name, text, symptom.next.format_map(words), terminal, symptom.own)


def owner(told: Diagnosis, port: int, part: str) -> str:
    """Who has a port, in words."""
    found = next((each for each in told.listeners if each.port == port), None)
    if found is None:
        return "something else listened there"
    return f"{found.program} (process {found.pid}) listens there" if found.pid else f"something else than {part} does"


def _node(told: Diagnosis) -> Iterator[Cause]:
    for room in told.rooms:
        if room.free < LITTLE or room.inodes == 0:
            what = "no room for another file" if room.inodes == 0 else f"{room.free >> 20} MiB left"
            yield Cause("", "DiskFull", f"{room.path} has {what}", f"make room on {told.node}: df -h; df -i", own=True)
    if told.kubelet and told.kubelet not in ("active", "activating", "reloading"):
        yield Cause(
            "kubelet", "KubeletDown", f"the kubelet is {told.kubelet}", f"on {told.node}: journalctl -u kubelet -n 50"
        )
    yield from certificate_causes(told)


def clock_cause(told: Diagnosis, now: float) -> Iterator[Cause]:
    """Where the node's clock and ours are apart; `now` is ours, when it was asked."""
    apart = told.clock - now
    if abs(apart) > APART:
        direction = "ahead of" if apart > 0 else "behind"
        yield Cause(
            "",
            "Clock",
            f"the clock of {told.node} is {abs(apart):.0f} s {direction} this workstation's",
            "set both right: timedatectl; chrony or systemd-timesyncd",
        )


def certificate_causes(told: Diagnosis) -> Iterator[Cause]:
    """What is wrong with the certificates that lie on the node, by the node's clock and beside their authorities."""
    if not told.certificates:
        return
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    now, known = datetime.fromtimestamp(told.clock, UTC), dict[str, x509.Certificate]()
    again = "bootstrap plan shows whether it differs; bootstrap apply puts it again"
    for path, pem in told.certificates.items():
        try:
            known[path] = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            yield Cause("", "CertificateUnreadable", f"{path} is no certificate: {error}", again)
    for path, certificate in known.items():
        if now < certificate.not_valid_before_utc:
            yield Cause(
                "",
                "CertificateNotYetValid",
                f"{path} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC; "
                f"the clock of {told.node} says {now:%Y-%m-%d %H:%M:%S}",
                f"set the clocks right (timedatectl), here and on {told.node}",
            )
        if now > certificate.not_valid_after_utc:
            yield Cause(
                "",
                "CertificateExpired",
                f"{path} has expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
                "if the clock is right, run bootstrap apply: it issues it again",
            )
        authority = known.get(_authority(path))
        if authority is None or authority is certificate or not path.startswith("/etc/kubernetes/pki/"):
            continue
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            yield Cause("", "CertificateUnknown", f"{path} is not of the authority {_authority(path)}", again)


def _authority(path: str) -> str:
    """Where the certificate of its issuer lies on the same node."""
    pki = "/etc/kubernetes/pki"
    if path.startswith(f"{pki}/etcd/") or path.endswith("/apiserver-etcd-client.crt"):
        return f"{pki}/etcd/ca.crt"
    return f"{pki}/front-proxy-ca.crt" if "front-proxy" in path else f"{pki}/ca.crt"


def text(told: Diagnosis, missing: Mapping[str, str], found: Sequence[Cause]) -> str:
    """For people: what each part lacks, why, what to do; and the last words of those of whom nothing is known."""
    lines = []
    for part, why in sorted(missing.items()):
        lines.append(f"{part}: {why}")
        because = [cause for cause in found if cause.part == part]
        lines += [line for cause in because for line in (f"  {cause.cause}", f"  next: {cause.next}")]
        lines += [f"  {line}" for line in last_words(told, part)]
    for cause in found:
        if cause.part not in missing:
            lines += [f"{cause.part or told.node}: {cause.cause}", f"  next: {cause.next}"]
    complaints = [line for line in told.journal if re.match(r"[EF]\d{4} ", line)]
    if complaints:
        lines.append(f"kubelet ({told.kubelet}), last complaints:")
        lines += [f"  {line[:400]}" for line in complaints[-3:]]
    return "\n".join(lines)


def last_words(told: Diagnosis, part: str, lines: int = 5) -> list[str]:
    """How a part's last container ended, and what it said last; what has a meaning first."""
    if part in ("kubelet", "host"):
        return []
    attempts = told.attempts.get(part, ())
    fresh = [attempt for attempt in attempts if not attempt.old]
    if not fresh:
        return ["no container has started" + (" since the turn" if attempts else "")]
    last = next((attempt for attempt in reversed(fresh) if attempt.exit is not None), fresh[-1])
    reason = f", {last.reason}" if last.reason not in ("", "Error", "Completed") else ""
    how = "runs" if last.exit is None else f"ended with exit code {last.exit}{reason}"
    times = f", started {fresh[-1].number + 1} times" if fresh[-1].number else ""
    spoken = [line for line, _, _ in fits(last.lines, "log")][:2]
    said = dict.fromkeys([*spoken, *last.lines[-lines:]])
    return [f"{part}, last words (its container {how}{times}):", *(f"  {line[:400]}" for line in said)]
