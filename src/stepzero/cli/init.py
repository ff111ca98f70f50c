"""``stepzero init TARGET``: a sound start, shown as a Plan and written down as plain torch."""

import contextlib
from pathlib import Path

import click

from stepzero.cli import building, failures, output


@click.command("init", epilog="TARGET is imported and run: use it only on code that you would run.")
@click.argument("target")
@click.option(
    "--scheme", default="auto", show_default=True, metavar="NAME", help="auto, or one scheme for all weights."
)
@click.option("--batch", metavar="SRC", help="pkg.mod:loader, randn(64,784), file.safetensors or file.pt.")
@click.option("--loss", metavar="SRC", help="A name such as cross_entropy, or pkg.mod:function.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of every draw.")
@click.option("--keep", multiple=True, metavar="GLOB", help="Leave these parameters alone, as in 'encoder.*'.")
@click.option(
    "--emit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a function init_(model) here that needs torch alone.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every parameter.")
def command(
    *,
    target: str,
    scheme: str,
    batch: str | None,
    loss: str | None,
    seed: int,
    keep: tuple[str, ...],
    emit: Path | None,
    verbose: bool,
) -> int:
    """Work out a sound start for the model that TARGET builds, and write it down.

    TARGET is as for check. The Plan says for every parameter which law it was drawn by, and why.
    """
    if emit is not None:
        output.check_writable(emit, "--emit")
        building.check_own(emit)
    progress = output.Progress()
    with contextlib.ExitStack() as stack:
        stack.callback(progress.clear)
        stack.enter_context(output.stdout_kept_clean())
        progress("importing torch")
        import stepzero  # noqa: PLC0415 - imports torch when it is used
        from stepzero.repair import emit as plain  # noqa: PLC0415 - as above

        stack.enter_context(failures.told(target, "initialised"))
        progress(f"building {target}")
        made = building.built(target, batch=batch, loss=loss, seed=seed)
        if emit is not None:
            plain.refuse(made.model, scheme=scheme, keep=keep)
        progress("initialising")
        plan = stepzero.init_(
            made.model, made.batch, loss=made.loss, target=made.target, scheme=scheme, seed=seed, keep=keep
        )
        if emit is not None:
            output.write_file(emit, plain.emit(plan, made.model), "--emit")
    from stepzero.report import plan as shown  # noqa: PLC0415 - one renderer is enough

    output.write(shown.render(plan, width=output.width(), color=output.is_color(), verbose=verbose))
    return 0
