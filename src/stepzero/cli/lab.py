"""``stepzero lab``: thousands of small networks really trained, and what became of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stepzero.cli import output
from stepzero.cli.bar import Bar
from stepzero.core.errors import ConfigError

if TYPE_CHECKING:
    from stepzero.lab.grid import Grid
    from stepzero.lab.running import Result
    from stepzero.lab.study import Answer, Effort, Train
    from stepzero.lab.summary import Row

_STORE = click.option(
    "--store", type=click.Path(path_type=Path), metavar="FILE", help="The results; default: in your data directory."
)
_WORKERS = click.option("--workers", type=click.IntRange(0), metavar="N", help="Processes; default: one a core.")


@click.group("lab")
def command() -> None:
    """Train many small networks and compare their starts."""


@command.command("run")
@click.argument("spec", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--grid", "pairs", multiple=True, metavar="KEY=A,B", help="An axis or a setting; more than once.")
@click.option("--study", metavar="NAME", help="A published question instead: its page goes to stdout.")
@click.option("--full", is_flag=True, help="More seeds and steps in a study.")
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="Write a study's page, numbers and figures here.")  # fmt: skip
@click.option("--png", is_flag=True, help="Figures as PNG as well as SVG (extra: lab).")
@click.option("--engine", default="local", show_default=True, help="local or ray.")
@_WORKERS
@_STORE
def run(
    *, spec: Path | None, pairs: tuple[str, ...], study: str | None, full: bool, folder: Path | None, png: bool,
    engine: str, workers: int | None, store: Path | None,
) -> int:  # fmt: skip
    """Train every network of SPEC (TOML), of --grid, or of both; a --grid key wins over SPEC."""
    _check(spec, pairs, study, folder, is_png=png)
    from stepzero import lab  # noqa: PLC0415 - imports torch

    with Bar("networks" if study is None else f"study {study}") as bar:

        def train(grid: "Grid") -> "Result":
            return lab.run(grid, engine=engine, store=store, workers=workers, progress=bar)

        if study is not None:
            page = _study(study, "full" if full else "short", folder, train, is_png=png)
        else:
            result = train(_grid(spec, pairs))
    if study is not None:
        output.write(page)
        return 0
    click.echo(f"run {result.run}", err=True)
    _show(result.networks())
    return 0


def _check(spec: Path | None, pairs: tuple[str, ...], study: str | None, folder: Path | None, *, is_png: bool) -> None:
    """UsageError for flags that do not go together."""
    if study is None and spec is None and not pairs:
        raise click.UsageError("expected a SPEC file, --grid KEY=VALUES or --study NAME")
    if study is not None and (spec is not None or pairs):
        raise click.UsageError("--study brings networks of its own: expected no SPEC and no --grid beside it")
    if study is None and folder is not None:
        raise click.UsageError("-o writes what a study found: expected --study NAME ('lab export' writes a run)")
    if is_png and folder is None:
        raise click.UsageError("--png writes figures: expected -o FOLDER beside it")


def _study(name: str, effort: "Effort", folder: Path | None, train: "Train", *, is_png: bool) -> str:
    """Run a study, leave in ``folder`` what it found, and return its page."""
    from stepzero.lab import studies  # noqa: PLC0415 - imports torch
    from stepzero.lab.png import check as check_png  # noqa: PLC0415 - as above

    chosen = studies.get(name)
    if is_png:
        check_png()  # now rather than after the work
    answer = chosen.run(effort, train)
    page = chosen.page(answer)
    if folder is not None:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "figures").mkdir(exist_ok=True)
        output.write_file(folder / "data" / f"{name}.json", answer.to_json())
        _draw(name, answer, folder / "figures", is_png=is_png)
        output.write_file(folder / f"{name}.md", page)
    return page


def _draw(name: str, answer: "Answer", folder: Path, *, is_png: bool) -> None:
    from stepzero.lab.png import png  # noqa: PLC0415 - with the rest of the lab

    for part, figure in answer.figures.items():
        output.write_file(folder / f"{name}-{part}.svg", figure.svg())
        if is_png:
            (folder / f"{name}-{part}.png").write_bytes(png(figure))


@command.command("resume")
@click.argument("run", type=int)
@click.option("--engine", help="local or ray; default: as before.")
@_WORKERS
@_STORE
def resume(*, run: int, engine: str | None, workers: int | None, store: Path | None) -> int:
    """Train what run RUN still lacks."""
    from stepzero import lab  # noqa: PLC0415 - imports torch

    with Bar("networks") as bar:
        result = lab.resume(run, engine=engine, store=store, workers=workers, progress=bar)
    _show(result.networks())
    return 0


@command.command("list")
@_STORE
def listed(*, store: Path | None) -> int:
    """List all runs."""
    from stepzero.lab.store import Store  # noqa: PLC0415 - with the rest of the lab

    opened = Store(store)
    lines = [
        [str(each.id), each.name or "-", each.engine, each.created, f"{each.done} of {each.total}"]
        for each in opened.runs()
    ]
    opened.close()
    output.write(_table([["run", "name", "engine", "begun", "networks"], *lines]))
    return 0


@command.command("show")
@click.argument("run", type=int)
@_STORE
def show(*, run: int, store: Path | None) -> int:
    """Show a run: one row a combination, its seeds taken together."""
    _show(_networks(run, store))
    return 0


@command.command("export")
@click.argument("run", type=int)
@click.option("-o", "--output", "path", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option("--what", type=click.Choice(["networks", "points", "layers"]), default="networks", show_default=True)
@_STORE
def export(*, run: int, path: Path, what: str, store: Path | None) -> int:
    """Write a run as .csv or .parquet."""
    from stepzero.lab.export import export as exported  # noqa: PLC0415 - as above

    exported(_networks(run, store, what), path)
    return 0


def _networks(run: int, store: Path | None, what: str = "networks") -> list[dict[str, Any]]:
    from stepzero.lab.store import Store  # noqa: PLC0415 - with the rest of the lab

    opened = Store(store)
    try:
        opened.run(run)
        rows: list[dict[str, Any]] = getattr(opened, what)(run)
    finally:
        opened.close()
    return rows


def _grid(spec: Path | None, pairs: Sequence[str]) -> "Grid":
    import tomllib  # noqa: PLC0415 - with the rest of the lab

    from stepzero.lab.grid import Grid  # noqa: PLC0415 - as above

    values: dict[str, Any] = Grid.read(spec).to_mapping() if spec is not None else {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--grid: expected KEY=VALUES, got {pair!r}")
        parts = [_value(part, tomllib.loads) for part in text.split(",")]
        values[key.strip()] = parts if len(parts) > 1 else parts[0]
    return Grid.of(values)


def _value(text: str, loads: Callable[[str], dict[str, Any]]) -> Any:
    """A number where TOML reads one, else the word itself."""
    try:
        return loads(f"x = {text.strip()}")["x"]
    except ValueError:
        return text.strip()


def _show(networks: list[dict[str, Any]]) -> None:
    from stepzero.lab import summary  # noqa: PLC0415 - as above

    found = summary.rows(networks)
    names = summary.varying(found)
    head = [*names, "n", "learned", "stopped", "loss", "accuracy"]
    output.write(_table([head, *(_cells(row, names) for row in found)]))


def _cells(row: "Row", names: Sequence[str]) -> list[str]:
    numbers = [row.loss, row.accuracy]
    learned = "-" if row.learned is None else str(row.learned)
    cells = [*(f"{row.axes[name]:g}" if isinstance(row.axes[name], float) else str(row.axes[name]) for name in names)]
    return [*cells, str(row.n), learned, str(row.stopped), *("-" if x is None else f"{x:.4g}" for x in numbers)]


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
