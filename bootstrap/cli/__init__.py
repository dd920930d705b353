"""The command line: a lazy group, one module per command; only this package prints or exits."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import time
from itertools import pairwise
from typing import Any, NoReturn

import click

from bootstrap.errors import Code, Problem

# name -> (module, what it does); nothing of a command is imported before it is called
COMMANDS = {
    "preflight": ("preflight", "Find out whether the machines are fit for it; change nothing."),
    "images": ("images", "List the images that nodes need, or pull them there beforehand."),
    "init": ("init", "Found a cluster, or bring up what is down of it."),
    "join": ("join", "Add the nodes that cluster.yaml names and the cluster lacks."),
    "plan": ("plan", "Show what apply would change, and change nothing."),
    "apply": ("apply", "Make the cluster what cluster.yaml says."),
    "rollback": ("rollback", "Give nodes back what they had before their last change."),
    "verify": ("verify", "Find out whether nodes are as they were left; write nothing."),
    "status": ("status", "Show nodes, components and etcd as they are now."),
    "diagnose": ("diagnose", "Say what is wrong on a node, why, and what to do about it."),
    "kubeconfig": ("kubeconfig", "Print the administrator's kubeconfig."),
    "render": ("render", "Write every node's files to a directory; needs no node."),
    "inventory": ("inventory", "Print the nodes as an inventory of Ansible's."),
    "remove": ("remove", "Take nodes out of the cluster: drained, out of etcd, as they were found."),
    "token": ("token", "Tokens by which machines join as workers, by kubeadm join."),
    "reset": ("reset", "Take everything of ours off the nodes again."),
    "unlock": ("unlock", "End another bootstrap that is at work on the cluster."),
    "state": ("state", "Bring the state directory to another workstation, and put its keys under a passphrase."),
    "config": ("config", "Example, check and schema of cluster.yaml."),
    "support-bundle": ("support_bundle", "Collect what whoever helps you needs, without secrets."),
    "completion": ("completion", "Print the completion of a shell: bash, zsh or fish."),
    "version": ("version", "Print the versions of bootstrap and what it installs."),
}

EPILOG = """\b
Exit codes:
  0  done, or nothing to do            5  can't reach or authenticate
  1  failed                            6  locked, or state older than the nodes
  2  there are changes                 7  preflight refused
  3  cluster.yaml is wrong            64  usage
  4  some nodes failed               130  interrupted

\b
Examples:
  bootstrap config example > cluster.yaml
  bootstrap init
  bootstrap kubeconfig > ~/.kube/config
"""


class Lazy(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"bootstrap.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """With the nearest name when there is none of this one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """What a command returns; click would print an empty line of its own where it is interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the table: no command is imported to print one line of it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
def cli() -> None:
    """Bring up a Kubernetes control plane of static pods over SSH, from one cluster.yaml.

    It needs nothing on the nodes but sshd, a container runtime and a kubelet.
    """


def main() -> None:
    """The entry point: every way a command can end, as an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    _heard_at_once()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for some takes longer than reading the file
    threading.excepthook = _unheard
    gc.set_threshold(200_000)  # what is imported stays: to look through it for garbage takes 0.1 s
    try:
        status = cli(standalone_mode=False)
    except click.exceptions.Exit as end:
        status = end.exit_code
    except (click.Abort, KeyboardInterrupt):
        _at_once()
    except click.UsageError as error:
        status = _told(error, Code.USAGE)
    except click.ClickException as error:
        status = _told(error, Code.FAILED)
    except Problem as problem:
        from bootstrap.cli.output import complain

        complain(problem)
        status = problem.code
    except BrokenPipeError:
        status = Code.FAILED
    except Exception as error:  # a fault of ours, whatever it is: people get no traceback, the log does
        from bootstrap.cli.fault import fault
        from bootstrap.cli.output import complain

        complain(fault(error))
        status = Code.FAILED
    gc.freeze()  # nor is it looked through at the end
    sys.exit(status or 0)


def _heard_at_once() -> None:
    """Lets another thread, which is told of every signal, end what the main thread waits for.

    Python heeds a signal between two steps of the main thread: one that comes just before a wait goes unheard until
    the wait is over, for minutes perhaps, and with it whoever pressed Ctrl-C.
    """
    main, wake = threading.get_ident(), signal.SIGURG  # which nobody else sends
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    signal.signal(wake, lambda *_: None)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)

    def listen() -> None:
        while number := os.read(told, 1):
            for _ in range(3 if number[0] != wake else 0):  # the main thread may be slow to begin its wait
                time.sleep(0.1)
                signal.pthread_kill(main, wake)

    threading.Thread(target=listen, daemon=True).start()


def _terminated(*_: object) -> None:
    """SIGTERM is Ctrl-C: what is open is closed, and people are told how to go on."""
    raise KeyboardInterrupt


def _unheard(failed: threading.ExceptHookArgs) -> None:
    """A thread that nobody waits for has failed, as where its connection was closed: only the log has it."""
    import traceback

    from bootstrap.cli.output import VOICE

    if VOICE.log and failed.exc_value:
        VOICE.log.quote("".join(traceback.format_exception(failed.exc_value)))


def _told(error: click.ClickException, code: Code) -> Code:
    """A mistake on the command line, as click says it; a program gets its line of JSON."""
    from bootstrap.cli.output import VOICE, complain

    words = [*sys.argv, ""]  # where the words are wrong, nobody has read the option among them
    asked = "--log-format=json" in words or ("--log-format", "json") in pairwise(words)
    if VOICE.lines or asked:
        VOICE.lines = True
        complain(Problem(error.format_message(), code=code))
    else:
        error.show()
    return code


def _at_once() -> NoReturn:
    """Ends without waiting for the threads that still wait for a node."""
    from bootstrap.cli.output import complain

    again = "run the same command again: it goes on where this one ended"
    why = "what had begun on a node ends there by itself"
    if terminal := sys.modules.get("bootstrap.cli.terminal"):
        terminal.restore()
    complain(Problem("interrupted", why=why, next=again, code=Code.INTERRUPTED))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(Code.INTERRUPTED)
