"""The program: `python -m cachestead.proxy proxy.json`. Ends at TERM or INT; clients' connections end with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import sys
from pathlib import Path

from cachestead.proxy.configuration import ProxyConfiguration
from cachestead.proxy.server import Proxy


async def _serve(configuration: ProxyConfiguration) -> None:
    proxy, ended = Proxy(configuration), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await proxy.start()
    print(f"proxy {configuration.id} at {configuration.own}", flush=True)  # noqa: T201 - the node's log
    # What is there now stays, and requests leave no cycles behind: looking for them costs more than it finds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await ended.wait()
    await proxy.close()


def main() -> None:
    """Run until told to end."""
    configuration = ProxyConfiguration.from_json(Path(sys.argv[1]).read_text())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not on every system

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve(configuration))


main()
