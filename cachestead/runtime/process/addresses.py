"""Which addresses and ports of this machine can be listened on."""

from __future__ import annotations

import errno
import socket


def is_free(address: str, port: int) -> bool:
    """Nothing listens there and this machine has the address.

    SO_REUSEADDR as servers set it: connections of an ended server that linger (TIME_WAIT) do not count, a
    listening one does.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
                return False
            raise
    return True


def free_port(address: str) -> int:
    """A port of the address that nothing listens on, chosen by the system."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
