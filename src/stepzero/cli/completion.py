"""``stepzero completion bash|zsh|fish``: the script that teaches a shell the commands, flags and rules."""

import click

from stepzero.cli import output

VARIABLE = "_STEPZERO_COMPLETE"
"""How the script asks ``stepzero`` what fits."""
WHERE = {
    "bash": 'eval "$(stepzero completion bash)"  in ~/.bashrc (bash 4.4 or later)',
    "zsh": 'eval "$(stepzero completion zsh)"  in ~/.zshrc, after compinit',
    "fish": "stepzero completion fish > ~/.config/fish/completions/stepzero.fish",
}


@click.command("completion", epilog="; ".join(WHERE.values()))
@click.argument("shell", type=click.Choice(list(WHERE)))
def command(shell: str) -> None:
    """Print the script that completes stepzero in SHELL."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only for the script

    from stepzero.cli import main  # noqa: PLC0415 - it imports this module by name

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    script = kind(main, {}, "stepzero", VARIABLE)
    # Not `source()`: for bash it runs bash to ask for its version, which the machine that completes may not have.
    output.write(f"# {WHERE[shell]}\n" + script.source_template % script.source_vars())
