"""The part of the survey that runs *inside the target's interpreter*.

These modules are never imported by path there: `intelli_checks.probes.interview` pipes their source through stdin, so
nothing needs to be installed in the target. Hence their rules: standard library only, Python 3.9 syntax, no import of
anything of ours but each other (relatively), and every driver imported by the function that reads it.

Each stage is reported as soon as it is known: a project whose third step hangs has still told the first two.
"""
