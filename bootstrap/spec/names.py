"""The names in a cluster.yaml: each type checks one value, and says what to write instead."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from bootstrap import versions
from bootstrap.spec.faults import Wrong, listed, nearest, quoted

LONGEST = 52  # "system:node:" goes before it, and a certificate's common name holds 64 (RFC 5280, appendix A.1)
RESERVED = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"),
    *("admin", "super-admin", "kubelet", "bootstrap-kubelet", "controller-manager", "scheduler", "encryption"),
)
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"

_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_ARGUMENT = r"[a-z0-9]+(-[a-z0-9]+)*"
_REPOSITORY = r"[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"


def dns_label(text: str) -> str:
    """A DNS label of RFC 1123, which Kubernetes wants most names to be."""
    if not re.fullmatch(LABEL, text):
        rule = "lower-case letters, digits and '-', at most 63, a letter or digit at both ends"
        raise Wrong(f"{quoted(text)} is not an RFC 1123 label: {rule}", _lowered(text, LABEL))
    return text


def node_name(text: str) -> str:
    """A DNS subdomain of RFC 1123 that fits into the kubelet's certificate."""
    if not re.fullmatch(SUBDOMAIN, text):
        rule = "lower-case letters, digits and '-', in parts of at most 63 joined by dots"
        raise Wrong(f"{quoted(text)} is not an RFC 1123 name: {rule}", _lowered(text, SUBDOMAIN))
    return _fits(text)


def scheduler_name(text: str) -> str:
    """A DNS label that no part of the control plane has."""
    if text in RESERVED:
        raise Wrong(f"{quoted(text)} is a part of every control plane", "choose a name such as batch-scheduler")
    return _fits(dns_label(text))


def domain(text: str) -> str:
    """A DNS name in lower case."""
    if not re.fullmatch(SUBDOMAIN, text) or len(text) > 253:
        hint = _lowered(text, SUBDOMAIN) or "such as cluster.local"
        raise Wrong(f"{quoted(text)} is not a DNS domain", hint)
    return text


def label_key(text: str) -> str:
    """The key of a label or taint: a name, with or without `prefix/`."""
    prefix, slash, name = text.rpartition("/")
    if (slash and (not re.fullmatch(SUBDOMAIN, prefix) or len(prefix) > 253)) or not re.fullmatch(_QUALIFIED, name):
        raise Wrong(f"{quoted(text)} is not the key of a label", "such as disk or example.com/disk")
    return text


def label_value(text: str) -> str:
    """The value of a label or taint, which may be empty."""
    if text and not re.fullmatch(_QUALIFIED, text):
        rule = "letters, digits, '-', '_' and '.', at most 63, a letter or digit at both ends"
        raise Wrong(f"{quoted(text)} is not a label's value of {rule}")
    return text


def argument(text: str) -> str:
    """The name of a flag, as in `--name=value`."""
    if not re.fullmatch(_ARGUMENT, text):
        name = text.lstrip("-").partition("=")[0].replace("_", "-").lower()
        hint = f"write name: {name}" if re.fullmatch(_ARGUMENT, name) else ""
        raise Wrong(f"{quoted(text)} is not a flag's name without dashes before it", hint)
    return text


def variable(text: str) -> str:
    """The name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", text):
        raise Wrong(f"{quoted(text)} is not the name of an environment variable", "such as GOMAXPROCS")
    if text.startswith("BOOTSTRAP_"):
        raise Wrong(f"{text} is how this tool recognises what runs", "choose another name")
    return text


def repository(text: str) -> str:
    """Where images are pulled from, without the images' own names."""
    if not re.fullmatch(_REPOSITORY, text):
        bare = re.sub(r"^[a-z]+://|/+$", "", text)
        hint = (
            f"write {bare}" if re.fullmatch(_REPOSITORY, bare) else "such as registry.k8s.io or mirror.example:5000/k8s"
        )
        raise Wrong(f"{quoted(text)} is not an image repository", hint)
    return text


def kubernetes_version(value: object) -> str:
    """One of the releases; anything else, a number too, is told which there are."""
    known = [release.kubernetes for release in versions.RELEASES]
    if isinstance(value, str) and value in known:
        return value
    raise Wrong(f"must be {listed(known)}, not {quoted(value)}", nearest(value, known))


def _fits(name: str) -> str:
    """A name short enough to be part of a certificate's common name."""
    if len(name) > LONGEST:
        raise Wrong(f"{quoted(name)} has {len(name)} characters, and its certificate has room for {LONGEST}")
    return name


def _lowered(text: str, pattern: str) -> str:
    """The hint to write it in lower case with dashes, where that is all that is wrong."""
    lower = text.strip().lower().replace("_", "-")
    return f"write {quoted(lower)}" if re.fullmatch(pattern, lower) else ""


Name = Annotated[str, AfterValidator(dns_label), Field(json_schema_extra={"pattern": f"^{LABEL}$"})]
NodeName = Annotated[str, AfterValidator(node_name), Field(json_schema_extra={"pattern": f"^{SUBDOMAIN}$"})]
SchedulerName = Annotated[str, AfterValidator(scheduler_name), Field(json_schema_extra={"pattern": f"^{LABEL}$"})]
Domain = Annotated[str, AfterValidator(domain), Field(json_schema_extra={"pattern": f"^{SUBDOMAIN}$"})]
LabelKey = Annotated[str, AfterValidator(label_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
Argument = Annotated[str, AfterValidator(argument), Field(json_schema_extra={"pattern": f"^{_ARGUMENT}$"})]
Variable = Annotated[str, AfterValidator(variable)]
Repository = Annotated[str, AfterValidator(repository)]
KubernetesVersion = Annotated[
    str,
    BeforeValidator(kubernetes_version),
    Field(json_schema_extra={"enum": [release.kubernetes for release in versions.RELEASES]}),
]
