"""For every test: pytester, no way to end the run without its verdict, and an interrupt that is heard."""

import os
import signal

import pytest

pytest_plugins = ["pytester"]

# A shell that starts us in the background has SIGINT ignored, here and in every child that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def nothing_ends_the_run():
    """`os._exit` in the test process would end pytest with that code: 0 would look like a run in which all passed."""
    ours, leave = os.getpid(), os._exit

    def refuse(code):
        if os.getpid() == ours:
            pytest.fail(f"os._exit({code}) in the test process")
        leave(code)  # a forked child may

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", refuse)
        yield
