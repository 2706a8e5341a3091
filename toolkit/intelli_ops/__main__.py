"""`intelli-ops`: the hot commands are dispatched before Typer is imported."""

from __future__ import annotations


def main() -> None:
    """Run the command named on the command line and exit with its code."""
    from intelli_ops.cli import app

    app()


if __name__ == "__main__":
    main()
