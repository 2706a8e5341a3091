"""One module per command, named after it; each holds a `typer.Typer` called `app`."""
