"""A small certificate authority: PEM in, PEM out, no disk, and no clock but the `now` it is given."""

from pki.authority import Authority, Pair
from pki.keys import Algorithm
from pki.leaf import Request, Usage, matches

__all__ = ["Algorithm", "Authority", "Pair", "Request", "Usage", "matches"]
