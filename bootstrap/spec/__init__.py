"""From cluster.yaml to a Cluster: `load` reads a file, `parse` a text, and Invalid says all that is wrong with it."""

from bootstrap.spec.faults import Finding, Invalid
from bootstrap.spec.model import Cluster, Node
from bootstrap.spec.pods import static_pod_problems
from bootstrap.spec.reading import load, parse
from bootstrap.spec.sample import example
from bootstrap.spec.shape import schema

__all__ = ["Cluster", "Finding", "Invalid", "Node", "example", "load", "parse", "schema", "static_pod_problems"]
