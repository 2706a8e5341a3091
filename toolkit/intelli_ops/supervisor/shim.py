"""Become another program that dies when its parent does (Linux); run by path, before anything is imported.

`python -I -S shim.py PARENT ARGV...` asks the kernel for SIGKILL at the parent's death and then replaces itself. Set
here and not by `preexec_fn`, which is unsafe with threads; it survives exec. The kernel watches the parent *thread*
that forked (prctl(2)), so the supervisor starts everything from its main thread.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.platform != "linux":
        sys.exit("only Linux tells a process of its parent's death")
    parent, argv = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {argv[0]}: {error.strerror}")


main()
