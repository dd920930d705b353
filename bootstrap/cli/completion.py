"""`bootstrap completion`."""

from __future__ import annotations

import click


@click.command(
    epilog='\b\nExamples:\n  eval "$(bootstrap completion bash)"\n  bootstrap completion fish > '
    "~/.config/fish/completions/bootstrap.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell."""
    from click.shell_completion import get_completion_class

    completes = get_completion_class(shell)
    assert completes
    root = context.find_root()
    click.echo(completes(root.command, {}, "bootstrap", "_BOOTSTRAP_COMPLETE").source(), nl=False)
