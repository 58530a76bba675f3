"""`pgtick doctor`."""

from __future__ import annotations

import os

import click
import msgspec

from app.cli._output import OutputFormat, output_option, print_rows


@click.command()
@output_option
def doctor(*, output: OutputFormat) -> None:
    """Looks at everything that pgtick depends on, and tells the fix; exit code 1 if anything is bad."""
    from app.doctor import examine
    from app.settings import list_settings, load_settings

    findings = list(examine(load_settings(os.environ)))
    settings = list_settings(os.environ)
    if output == "json":
        report = {"checks": findings, "settings": settings}
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        print_rows(map(msgspec.structs.asdict, findings), cut=False)
        click.echo()
        print_rows(map(msgspec.structs.asdict, settings), cut=False)
    if bad := [finding.check for finding in findings if finding.status == "fail"]:
        raise click.ClickException(f"bad: {', '.join(bad)}")
