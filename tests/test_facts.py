"""What the start of etcd's log tells: whose it is, and whether anything was ever written into it."""

from __future__ import annotations

from bootstrap import facts
from bootstrap.world import Facts

# As etcd 3.7.0 makes it: a checksum, member and cluster, an empty snapshot; and the first bytes of what comes next.
MADE = (
    "0400000000000084" "0804100000000000"
    "1f00000000000081" "080110828f9ee4041a1508a5ccc38dfbab89bd6110acf7e9e4e5a6e0ade60100"
    "0e00000000000082" "080510e48383f3011a04080010000000"
)  # fmt: skip
ENTRY = "6c00000000000084" "0802108080808001"  # fmt: skip
NODE = "manifests\t/etc/kubernetes/manifests\nrun\t7\tetcd\t0123456789abcdef\netcd\t{}\nend\tok\n"


def told(log: str) -> Facts:
    """By a node where etcd runs, and its log begins so."""
    return facts.parse("cp1", NODE.format(log.ljust(320, "0")))


def test_an_etcd_that_has_written_nothing_yet_does_not_run_yet() -> None:
    assert (told(MADE).etcd, dict(told(MADE).running)) == ("7023967661770991141", {})
    assert (told(MADE + ENTRY).etcd, dict(told(MADE + ENTRY).running)) == (
        "7023967661770991141",
        {"etcd": "0123456789abcdef"},
    )


def test_a_later_piece_of_the_log_that_is_empty_yet_is_no_new_one() -> None:
    later = MADE[:112] + "1600000000000082" + "080310e48383f3011a060802100018050000"
    assert "etcd" in told(later).running


def test_a_log_that_can_not_be_read_is_somebodys() -> None:
    for log in ("", "00", "ff" * 80):
        assert (told(log).etcd, "etcd" in told(log).running) == ("?", True)
