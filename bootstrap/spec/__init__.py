"""From cluster.yaml to a Cluster."""
