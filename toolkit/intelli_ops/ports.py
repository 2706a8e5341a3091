"""A port to serve on."""

from __future__ import annotations

import random
import socket

_SERVED = range(20_000, 32_000)
"""Below what Linux (32768), macOS and Windows (49152) give to outgoing connections: one of those could take the port
between our look and the moment the server binds it, or while the server is being restarted."""
_TRIES = 100


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now.

    Raises:
        OSError: a hundred ports were tried and all are taken, or this machine has no loopback interface.
    """
    taken = OSError("no free port")
    for port in random.sample(_SERVED, _TRIES):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError as error:
            taken = error
    raise taken
