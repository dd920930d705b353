"""The state directory: written whole or not at all, and what is told when it is damaged, open, full, or elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bootstrap import credentials, handover, rendered, sealed, state
from bootstrap.errors import Code, Problem
from bootstrap.machines import Opened
from bootstrap.state import Store
from pki import keys, pkcs8
from tests.cluster import Ended, environment
from tests.commands import bootstrap
from tests.stores import NOW, ONE, cluster, issued_for

SECRET = "correct horse battery"
AUTHORITIES_KEYS = ("pki/ca.key", "pki/etcd/ca.key", "pki/front-proxy-ca.key")


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    """What is under a passphrase here can be guessed quickly; what the commands seal can't."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "COST", 2**10)
        patch.setattr(pkcs8, "ROUNDS", 1000)
        yield


@pytest.fixture(scope="module")
def issued() -> Mapping[str, bytes]:
    return issued_for(cluster({}, ONE)) | {state.EPOCH: b"7\n"}


@pytest.fixture
def desk(tmp_path: Path, issued: Mapping[str, bytes]) -> Path:
    """A workstation from which a cluster was founded."""
    here = elsewhere(tmp_path / "desk")
    kept(here).put(issued)
    return here


@pytest.fixture(scope="module")
def copy(issued: Mapping[str, bytes]) -> bytes:
    """What was exported there."""
    return sealed.seal(issued, sealed.Head("demo", credentials.uid(issued), 7), SECRET.encode())


@pytest.fixture
def copied(tmp_path: Path, copy: bytes) -> Path:
    """The same, as a file."""
    (tmp_path / "demo.state").write_bytes(copy)
    return tmp_path / "demo.state"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """A file with a passphrase."""
    (tmp_path / "passphrase").write_text(f"{SECRET}\n")
    return str(tmp_path / "passphrase")


def elsewhere(directory: Path) -> Path:
    """A workstation that has the cluster's file, and nothing else of it."""
    directory.mkdir()
    nodes = [{**ONE["nodes"][0], "ssh": {"host": "127.0.0.1", "port": 1}}]  # nothing listens there
    (directory / "cluster.yaml").write_text(json.dumps({**ONE, "nodes": nodes}))
    return directory


def kept(desk: Path) -> Store:
    """Its state."""
    return Store(desk / ".bootstrap" / "demo")


def known(desk: Path) -> dict[str, bytes]:
    """What it knows of the cluster."""
    return kept(desk).all()


def take(desk: Path, copy: Path, *, force: bool = False) -> handover.Taken:
    """What `bootstrap state import` does."""
    return handover.take(desk / "cluster.yaml", copy, passphrase, force=force)


def refused(ended: Ended, status: int, *words: str) -> None:
    """It ended so, said these words, and what to type next."""
    assert (ended.status, [word for word in words if word not in ended.err]) == (status, []), ended
    assert "next: " in ended.err
    assert "Traceback" not in ended.err
    assert "a fault of bootstrap itself" not in ended.err


def told(act: Callable[[], object], code: Code, *words: str) -> None:
    """It ends in a problem that says these words, and what to type next."""
    with pytest.raises(Problem) as raised:
        act()
    problem = raised.value
    text = "\n".join((problem.what, problem.why, problem.next))
    assert (problem.code, [word for word in words if word not in text]) == (code, []), text
    assert problem.next


def passphrase(_what: str) -> bytes:
    """That of every file here."""
    return SECRET.encode()


# Whole or not at all


def test_killed_at_any_moment_a_writer_leaves_what_was_there_or_what_should_be_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    program = (sys.executable, "-m", "tests.killed_writer", str(tmp_path))
    done = subprocess.run(program, check=True, capture_output=True, text=True, env=environment())
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert [end for end in ends if end["found"] not in ("old", "new") or not end["clean"]] == []
    for title in ("first", "renewal", "epoch"):
        found = [end["found"] for end in ends if end["title"] == title and end["point"] > 0]
        assert found == sorted(found, reverse=True), "once it holds, it holds"
        assert {"old", "new"} == set(found)
        assert [end["died"] for end in ends if end["title"] == title and end["point"] > 0][-2:] == [True, False]
    assert any(end["died"] for end in ends if end["point"] < 0), "killed within a file"


def test_what_holds_is_read_before_it_has_reached_its_place_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put({"a": b"1", "b": b"1", "pki/c": b"1"})
    (tmp_path / state.JOURNAL).write_text('{"a": "Mg==", "b": null, "d/e": "Mg=="}')  # 2
    assert {name: store[name] for name in store if name != state.LOCK} == {"a": b"2", "d/e": b"2", "pki/c": b"1"}
    assert "b" not in store
    assert (tmp_path / "b").exists()
    store["f"] = b"3"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        *("a", "d/e", "f", state.LOCK, "pki/c")
    ]


def test_only_its_owner_can_read_what_is_written(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        Store(tmp_path / "state").put({"pki/ca.key": b"x", "pki/ca.crt": b"y"})
    finally:
        os.umask(mask)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state", tmp_path / "state/pki")} == {0o700}


def test_who_finds_another_at_writing_is_told_who_and_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store["a"] = b"1"
    with (tmp_path / state.LOCK).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for act in (lambda: store.put({"a": b"2"}), store.all):
            with pytest.raises(Problem, match=f"another bootstrap writes .*: process {os.getpid()}"):
                act()
    assert store["a"] == b"1"


# Wrong modes


@pytest.mark.parametrize(
    ("name", "mode"),
    [("pki/ca.key", 0o644), ("nodes/cp1/pki/apiserver.key", 0o640), ("pki/ca.crt", 0o666), (".", 0o777)],
)
def test_a_state_that_others_can_read_or_write_is_refused_until_it_is_closed(desk: Path, name: str, mode: int) -> None:
    directory = kept(desk).directory
    (directory / name).chmod(mode)
    told(lambda: state.opened(directory), Code.LOCKED, "open to others", f"mode {mode:04o}", "chmod -R go= ")
    told(lambda: Opened(desk / "cluster.yaml"), Code.LOCKED, "open to others")
    subprocess.run(["chmod", "-R", "go=", str(directory)], check=True)
    assert state.opened(directory)["admin.conf"]


def test_every_command_refuses_a_state_that_is_open_to_others(desk: Path) -> None:
    (kept(desk).directory / "admin.conf").chmod(0o644)
    for words in (("plan",), ("kubeconfig",)):
        refused(bootstrap(*words, at=desk), 6, "open to others", "admin.conf")


def test_what_is_no_secret_may_be_read(desk: Path) -> None:
    kept(desk).directory.chmod(0o755)
    (kept(desk).directory / "pki/ca.crt").chmod(0o644)
    (kept(desk).directory / state.KNOWN_HOSTS).write_text("")
    (kept(desk).directory / state.KNOWN_HOSTS).chmod(0o644)
    assert state.opened(kept(desk).directory)["admin.conf"]


# Damaged


def render(desk: Path) -> None:
    """What `bootstrap render` does, which needs no node, and nearly all of the state."""
    rendered.write(desk / "cluster.yaml", desk / "out")


DAMAGED = [
    ("pki/ca.crt", 40),
    ("pki/ca.crt", 0),
    ("pki/sa.key", 40),
    ("pki/sa.pub", 40),
    ("encryption.key", 20),
    ("encryption.key", 0),
    ("pki/etcd/ca.crt", 0),
]


@pytest.mark.parametrize(("name", "size"), DAMAGED)
def test_half_a_file_of_what_was_made_once_is_told_and_never_made_again(desk: Path, name: str, size: int) -> None:
    path = kept(desk).directory / name
    path.write_bytes(path.read_bytes()[:size])
    before = known(desk)
    told(lambda: render(desk), Code.LOCKED, name, "bootstrap state import FILE --force")
    assert known(desk) == before


def test_a_service_accounts_key_of_another_state_is_told(desk: Path) -> None:
    kept(desk)["pki/sa.key"] = keys.private_pem(keys.generate("ECDSA-P256"))
    told(lambda: render(desk), Code.LOCKED, "pki/sa.pub", "private half of another")


def test_half_a_leaf_is_issued_again(desk: Path) -> None:
    path = kept(desk).directory / "nodes/cp1/pki/apiserver.key"
    path.write_bytes(path.read_bytes()[:40])
    render(desk)
    assert keys.read((desk / "out/nodes/cp1/etc/kubernetes/pki/apiserver.key").read_bytes())


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[]", "null"])
def test_a_damaged_journal_is_told(desk: Path, content: str) -> None:
    journal = kept(desk).directory / state.JOURNAL
    journal.write_text(content)
    journal.chmod(0o600)
    told(lambda: render(desk), Code.LOCKED, ".journal is damaged", "state import FILE --force", "rm ")


def test_a_damaged_epoch_is_told_with_a_way_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store[state.EPOCH] = b"sev"
    told(lambda: state.epoch(store), Code.LOCKED, "epoch in the state directory is damaged", "write 0")


# No room, no right


@pytest.fixture
def disk(tmp_path: Path, desk: Path) -> Iterator[list[str]]:
    """How a program is run that has a small file system of its own where the desk's state lies; `$1` mounts it."""
    space = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc"]
    if subprocess.run([*space, f"mount -t tmpfs tmpfs {tmp_path}"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel gives nobody a mount namespace of his own")
    yield space


def on_a_disk(space: list[str], desk: Path, options: str, script: str) -> Ended:
    """The script, where the state lies on a file system that then gets these options."""
    lies = kept(desk).directory
    lines = [
        f"mkdir {desk}/disk && mount -t tmpfs -o size=8m tmpfs {desk}/disk && cp -a {lies}/. {desk}/disk",
        f"chmod 700 {desk}/disk && mount --bind {desk}/disk {lies} && mount -o remount,{options} {desk}/disk",
        f'bootstrap() {{ {sys.executable} -m bootstrap "$@"; }}; cd {desk}',
        script,
    ]
    done = subprocess.run(
        [*space, "\n".join(lines)], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_read_only_state_can_be_read_and_what_would_write_is_told_so(
    disk: list[str], desk: Path, secret: str
) -> None:
    told = on_a_disk(
        disk,
        desk,
        "ro",
        f"""
        bootstrap kubeconfig >/dev/null
        bootstrap render -o out
        bootstrap state export x --passphrase-file {secret}
        bootstrap init || echo init: $?
        bootstrap state encrypt --passphrase-file {secret}
        """,
    )
    refused(told, 1, "Read-only file system", "can't write", "ls -ld", "127.0.0.1")
    assert "init: 5" in told.out, "the log stops nothing"
    assert (desk / "x").exists()


def test_a_full_disk_is_told_and_leaves_what_was_there(disk: list[str], desk: Path, secret: str) -> None:
    directory = kept(desk).directory
    told = on_a_disk(
        disk,
        desk,
        "size=8m",
        f"""
        umask 077
        cat /dev/zero >{directory}/full 2>/dev/null || :
        (cd {directory} && find . -name '*.key' -exec sha256sum {{}} +) >before
        bootstrap state encrypt --passphrase-file {secret} || echo encrypt: $?
        (cd {directory} && find . -name '*.key' -exec sha256sum {{}} +) >after
        rm {directory}/full
        bootstrap state encrypt --passphrase-file {secret}
        grep -c ENCRYPTED {directory}/pki/ca.key
        find {directory} -name '.?*'
        """,
    )
    assert told.status == 0, told
    refused(Ended(1, told.out, told.err), 1, "No space left on device", "nothing is half written", "df -h")
    assert "encrypt: 1" in told.out
    assert (desk / "before").read_text() == (desk / "after").read_text()
    assert told.out.rstrip().endswith("\n2"), told.out


# To another workstation


def test_what_was_exported_is_known_where_it_was_imported(tmp_path: Path, desk: Path, secret: str) -> None:
    kept(desk)[state.KNOWN_HOSTS] = b"cp1 ssh-ed25519 AAAA\n"
    ended = bootstrap("state", "export", "../demo.state", "--passphrase-file", secret, at=desk)
    assert (ended.status, "at epoch 7" in ended.out) == (0, True), ended
    other = elsewhere(tmp_path / "other")
    ended = bootstrap("state", "import", "../demo.state", "--passphrase-file", secret, at=other)
    assert (ended.status, "next: bootstrap plan" in ended.err) == (0, True), ended
    assert known(other) == known(desk)
    assert (tmp_path / "demo.state").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "demo.state").read_text())["scrypt"]["n"] == 2**17


def test_nothing_of_the_state_can_be_read_in_what_was_exported(copied: Path) -> None:
    text = copied.read_text()
    assert json.loads(text)["cluster"] == "demo"
    assert "apiserver" not in text
    assert "PRIVATE" not in text
    assert SECRET not in text


def test_a_passphrase_comes_from_the_environment_too(tmp_path: Path, desk: Path) -> None:
    assert bootstrap("state", "export", "../demo.state", at=desk, BOOTSTRAP_PASSPHRASE=SECRET).status == 0
    other = elsewhere(tmp_path / "other")
    refused(bootstrap("state", "import", "../demo.state", at=other, BOOTSTRAP_PASSPHRASE="x"), 5, "does not open")
    assert known(other) == {}
    assert sealed.unseal((tmp_path / "demo.state").read_bytes(), SECRET.encode()) == known(desk)


def test_without_anybody_to_ask_for_a_passphrase_it_is_told_how_to_give_one(desk: Path) -> None:
    refused(bootstrap("state", "export", "x", at=desk), 5, "passphrase", "--passphrase-file", "BOOTSTRAP_PASSPHRASE")
    (desk / "empty").write_text("\n")
    refused(bootstrap("state", "export", "x", "--passphrase-file", "empty", at=desk), 64, "holds no passphrase")
    assert not (desk / "x").exists()


def test_who_types_a_passphrase_does_not_see_it_and_types_it_twice(tmp_path: Path, desk: Path) -> None:
    shown = typed(desk, "state", "export", "../demo.state", lines=[SECRET, "another", SECRET, SECRET])
    assert shown.count("new passphrase of ../demo.state: ") == 2
    assert "they differ" in shown
    assert SECRET not in shown
    other = elsewhere(tmp_path / "other")
    assert "at epoch 7" in typed(other, "state", "import", "../demo.state", lines=[SECRET])
    assert known(other) == known(desk)


def typed(at: Path, *words: str, lines: list[str]) -> str:
    """What somebody at a terminal sees who types these lines."""
    ours, theirs = os.openpty()
    begun = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "bootstrap", *words],
        cwd=at,
        env=environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    for count, line in enumerate(lines, 1):
        while (
            len(re.findall(rb"passphrase of [^:]*: |again: ", seen)) < count
        ):  # what is typed before it is asked for would be shown
            seen += os.read(ours, 1000)
        os.write(ours, f"{line}\n".encode())
    try:
        while more := os.read(ours, 1000):
            seen += more
    except OSError:  # EIO: nobody has the other side open any more
        pass
    os.close(ours)
    begun.wait(60)
    return seen.decode()


def test_an_export_does_not_write_over_a_file_unless_asked(desk: Path) -> None:
    (desk / "x").write_text("mine")
    told(lambda: handover.leave(desk / "cluster.yaml", desk / "x", passphrase), Code.USAGE, "x is there already")
    assert (desk / "x").read_text() == "mine"
    handover.leave(desk / "cluster.yaml", desk / "x", passphrase, force=True)
    assert sealed.unseal((desk / "x").read_bytes(), SECRET.encode()) == known(desk)


def test_where_nothing_was_founded_there_is_nothing_to_export(tmp_path: Path) -> None:
    other = elsewhere(tmp_path / "other")
    told(lambda: handover.leave(other / "cluster.yaml", other / "x", passphrase), Code.LOCKED, "no state to export")
    assert not (other / ".bootstrap").exists()


@pytest.mark.parametrize("damage", ["", "{}", "[1]", "cut", "changed", "epoch"])
def test_a_damaged_file_is_not_imported(tmp_path: Path, copy: bytes, damage: str) -> None:
    text = copy.decode()
    tree = json.loads(text)
    match damage:
        case "cut":
            text = text[: len(text) // 2]
        case "changed":
            text = json.dumps(tree | {"sealed": ("A" if tree["sealed"][0] != "A" else "B") + tree["sealed"][1:]})
        case "epoch":
            text = json.dumps(tree | {"epoch": 8})
        case _:
            text = damage
    other = elsewhere(tmp_path / "other")
    (other / "x").write_text(text)
    sealed_still = damage in ("changed", "epoch")
    told(lambda: take(other, other / "x"), Code.UNREACHABLE if sealed_still else Code.FAILED, str(other / "x"))
    assert known(other) == {}


@pytest.mark.parametrize("name", ["../epoch", "/etc/passwd", ".journal", "pki/../../x"])
def test_a_file_that_would_write_outside_the_state_is_not_imported(tmp_path: Path, name: str) -> None:
    other = elsewhere(tmp_path / "other")
    (other / "x").write_bytes(sealed.seal({name: b"x"}, sealed.Head("demo", "0", 7), SECRET.encode()))
    told(lambda: take(other, other / "x"), Code.FAILED, name)
    assert known(other) == {}


def test_another_clusters_state_is_not_written_over_unless_asked_and_then_kept_aside(
    tmp_path: Path, copied: Path
) -> None:
    other = elsewhere(tmp_path / "other")
    kept(other).put(issued_for(cluster({}, ONE)))
    contested(other, copied, "has the keys of another cluster")


def test_a_newer_state_is_not_written_over_unless_asked_and_then_kept_aside(desk: Path, copied: Path) -> None:
    kept(desk).put({state.EPOCH: b"8\n", "nodes/cp2/x.key": b"later"})
    contested(desk, copied, "is newer than")


def test_a_damaged_state_is_put_back_from_a_copy(desk: Path, copied: Path) -> None:
    kept(desk)["pki/ca.crt"] = b""
    contested(desk, copied, "is damaged")


def test_a_state_with_a_damaged_journal_is_put_back_from_a_copy(desk: Path, copied: Path) -> None:
    whole = known(desk)
    journal = kept(desk).directory / state.JOURNAL
    journal.write_text("{")
    journal.chmod(0o600)
    told(lambda: take(desk, copied), Code.LOCKED, ".journal is damaged", "--force")
    aside = take(desk, copied, force=True).aside
    assert known(desk) == whole
    assert aside
    assert (aside / state.JOURNAL).read_text() == "{"


def contested(desk: Path, copy: Path, why: str) -> None:
    """The import is refused, and does as it is told when it is told twice."""
    before = known(desk)
    told(lambda: take(desk, copy), Code.LOCKED, why, "--force")
    assert known(desk) == before
    taken = take(desk, copy, force=True)
    assert known(desk) == sealed.unseal(copy.read_bytes(), SECRET.encode())
    assert [taken.aside] == list((desk / ".bootstrap").glob("demo.*"))
    assert taken.aside
    assert Store(taken.aside).all() == before
    assert not list((desk / ".bootstrap").glob(".*"))


def test_what_an_import_that_was_killed_has_left_goes_with_the_next(desk: Path, copied: Path) -> None:
    left = Store(desk / ".bootstrap/.demo.new")
    left.put({"pki/ca.key": b"of another", "nodes/cp9/x.key": b"of another"})
    kept(desk).put({state.EPOCH: b"8\n"})
    contested(desk, copied, "is newer than")
    left.put({"pki/ca.key": b"of another"})
    assert take(desk, copied).aside is None
    assert not left.directory.exists()


def test_an_older_state_of_the_same_cluster_is_brought_up_to_date(desk: Path, copied: Path) -> None:
    newest = known(desk)
    kept(desk).put({state.EPOCH: b"6\n", "nodes/gone/x.key": b"of a node that was removed"})
    log = kept(desk).directory / state.LOG
    log.write_text("what was done from here\n")
    log.chmod(0o600)
    assert take(desk, copied).aside is None
    assert known(desk) == newest
    assert log.read_text() == "what was done from here\n"
    assert not list((desk / ".bootstrap").glob("demo.*"))


def test_the_state_of_a_cluster_of_another_name_is_refused(tmp_path: Path, copied: Path) -> None:
    other = elsewhere(tmp_path / "other")
    (other / "cluster.yaml").write_text((other / "cluster.yaml").read_text().replace('"demo"', '"prod"'))
    told(lambda: take(other, copied), Code.LOCKED, "demo", "prod", "cluster.yaml")


# Keys under a passphrase


def clear(desk: Path) -> set[str]:
    """The authorities' keys that anybody with the disk can use."""
    return {name for name in AUTHORITIES_KEYS if not keys.encrypted(known(desk)[name])}


def test_the_authorities_keys_are_encrypted_and_decrypted(desk: Path, issued: Mapping[str, bytes], secret: str) -> None:
    ended = bootstrap("state", "encrypt", "--passphrase-file", secret, at=desk)
    assert (ended.status, [name for name in AUTHORITIES_KEYS if name not in ended.out]) == (0, []), ended
    assert clear(desk) == set()
    assert {name for name in issued if known(desk)[name] != issued[name]} == set(AUTHORITIES_KEYS)
    for name in AUTHORITIES_KEYS:
        assert b"ENCRYPTED PRIVATE KEY" in known(desk)[name]
        der = b64decode(b"".join(known(desk)[name].splitlines()[1:-1]))
        assert bytes((0x02, 3)) + (600_000).to_bytes(3, "big") in der, "rounds of PBKDF2"
    ended = bootstrap("state", "encrypt", "--passphrase-file", secret, at=desk)
    assert (ended.status, "nothing to do" in ended.err) == (0, True)
    refused(bootstrap("state", "decrypt", at=desk, BOOTSTRAP_PASSPHRASE="wrong"), 5, "does not open")
    assert clear(desk) == set()
    assert bootstrap("state", "decrypt", "--passphrase-file", secret, at=desk).status == 0
    assert clear(desk) == set(AUTHORITIES_KEYS)
    assert known(desk) == issued


def test_openssl_reads_an_encrypted_key(desk: Path, issued: Mapping[str, bytes], secret: str) -> None:
    handover.encrypt(desk / "cluster.yaml", passphrase)
    key = str(kept(desk).directory / "pki/ca.key")
    program = ("openssl", "pkey", "-in", key, "-passin", f"file:{secret}", "-pubout")
    public = subprocess.run(program, check=True, capture_output=True).stdout
    assert public == keys.public_pem(keys.read(issued["pki/ca.key"]))


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-4096"])
def test_a_key_of_every_algorithm_comes_back_from_its_passphrase_and_from_no_other(algorithm: keys.Algorithm) -> None:
    key = keys.generate(algorithm)
    pem = keys.private_pem(key, "Schloß".encode())
    assert keys.encrypted(pem)
    assert keys.private_pem(keys.read(pem, "Schloß".encode())) == keys.private_pem(key)
    for wrong in (b"", b"Schloss"):
        with pytest.raises(ValueError, match=r"encrypted|passphrase"):
            keys.read(pem, wrong)
    assert max(map(len, pem.splitlines())) == 64


def test_a_passphrase_is_asked_once_and_only_where_an_authority_has_to_sign(issued: Mapping[str, bytes]) -> None:
    asked: list[str] = []

    def passphrase(what: str) -> bytes:
        asked.append(what)
        return SECRET.encode()

    store = dict(issued) | credentials.encrypt(issued, passphrase)
    asked.clear()
    assert credentials.issue(cluster({}, ONE), store, NOW, passphrase) == ()
    assert asked == []
    assert credentials.issue(cluster({"apiServer": {"certSANs": ["x.example"]}}, ONE), store, NOW, passphrase)
    assert asked == ["the authorities' keys"]
    with pytest.raises(Problem, match=r"the passphrase does not open pki/.*ca\.key"):
        credentials.issue(cluster({}, ONE), store, NOW + timedelta(days=340), lambda _: b"wrong")


def test_a_command_that_has_to_sign_takes_the_passphrase_and_one_that_has_not_does_not_ask(
    desk: Path, secret: str
) -> None:
    handover.encrypt(desk / "cluster.yaml", passphrase)
    render(desk)
    before = known(desk)
    tree = json.loads((desk / "cluster.yaml").read_text())
    (desk / "cluster.yaml").write_text(json.dumps(tree | {"apiServer": {"certSANs": ["x.example"]}}))
    refused(bootstrap("render", "-o", "out", at=desk), 5, "a certificate has to be signed", "--passphrase-file")
    assert bootstrap("render", "-o", "out", "--passphrase-file", secret, at=desk).status == 0
    shown = typed(desk, "render", "-o", "out", lines=[SECRET])
    assert "passphrase of the authorities' keys" in shown
    assert SECRET not in shown
    assert known(desk) == before


def test_encrypted_keys_stay_encrypted_on_their_way_to_another_workstation(tmp_path: Path, desk: Path) -> None:
    handover.encrypt(desk / "cluster.yaml", lambda _: b"of the keys")
    handover.leave(desk / "cluster.yaml", tmp_path / "x", passphrase)
    other = elsewhere(tmp_path / "other")
    take(other, tmp_path / "x")
    assert clear(other) == set()
    assert handover.decrypt(other / "cluster.yaml", lambda _: b"of the keys")
    assert clear(other) == set(AUTHORITIES_KEYS)


def test_where_nothing_was_founded_there_is_nothing_to_encrypt(tmp_path: Path) -> None:
    other = elsewhere(tmp_path / "other")
    for change in (handover.encrypt, handover.decrypt):
        told(lambda change=change: change(other / "cluster.yaml", passphrase), Code.LOCKED, "no authorities' keys")  # type: ignore[misc]
    assert not (other / ".bootstrap").exists()


def test_the_page_of_faults_says_what_is_told() -> None:
    top = Path(state.__file__).parent
    source = "".join(path.read_text() for path in top.rglob("*.py"))
    page = (top.parent / "docs/faults.md").read_text().partition("## The state directory")[2].partition("\n## ")[0]
    rows = [line.split("|")[2:4] for line in page.splitlines() if line.startswith("| ") and "what is" not in line]
    assert len(rows) == 11
    assert {int(code) for _, code in rows} <= {int(code) for code in Code}
    for sentence, _ in rows:
        for words in re.split(r"<[^>]*>", sentence):
            assert words.strip(" :;") in source, words
