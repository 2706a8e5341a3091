"""Kill what a dead supervisor left behind (POSIX); run by path as a process of its own.

Reads `+GROUP` and `-GROUP` lines from the supervisor. End of input means that the supervisor is gone, however it went:
every process group still on the list gets SIGKILL. The shim covers the children themselves on Linux; this covers
their children, and macOS, whose kernel has no such service.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    if sys.platform == "win32":
        sys.exit("job objects do this on Windows")
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line.startswith("+") else groups.discard)(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


main()
