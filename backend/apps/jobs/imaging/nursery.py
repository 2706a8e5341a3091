"""The process that forks decoding children: Python and Pillow are started once and not for every picture.

No byte of a picture reaches it. It takes an order, forks, and passes on what the child said and how it ended; the child
confines itself before it opens the file, exactly as in an interpreter of its own. Ends with the worker that started it.
"""

import json
import os
import sys
from types import CodeType
from typing import NoReturn

MOST_SAID = 64 * 1024


def main() -> None:
    """One order a line until there are no more."""
    decoder = sys.argv[1]
    with open(decoder, "rb") as file:  # noqa: PTH123  nothing is imported that decoding does not need
        code = compile(file.read(), decoder, "exec")
    load_pillow()
    for order in sys.stdin.buffer:
        exit_code, said = nursed(code, order)
        sys.stdout.write(json.dumps({"exit": exit_code, "said": said.decode(errors="replace")}) + "\n")
        sys.stdout.flush()


def load_pillow() -> None:
    """Import what every picture needs."""
    from PIL import Image, ImageOps  # noqa: F401

    Image.preinit()


def nursed(code: CodeType, order: bytes) -> tuple[int, bytes]:
    """Run the decoder on one order in a fork; return its exit code, negative for a signal, and what it wrote."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        obey(code, order, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123  a descriptor
        said = pipe.read(MOST_SAID)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def obey(code: CodeType, order: bytes, writing: int) -> NoReturn:
    """Be the decoder: its streams are the order and the answer, the nursery's own are out of reach."""
    exit_code = 1
    try:
        source, feed = os.pipe()
        os.write(feed, order)  # far less than a pipe holds
        os.close(feed)
        os.dup2(source, 0)
        os.dup2(writing, 1)
        sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115  they end with us
        exec(code, {"__name__": "__main__"})  # noqa: S102  our own file
        sys.stdout.flush()
        exit_code = 0
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(exit_code)


if __name__ == "__main__":
    main()
