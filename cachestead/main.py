"""The programs: the service and what runs beside it, and the few things the command line does without it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from structlog.tracebacks import ExceptionDictTransformer

from cachestead import bootstrap
from cachestead.api.protocol import LimitedLoop, limited_protocol
from cachestead.engine import catalogue
from cachestead.engine.catalogue import Choice
from cachestead.names.responder import Responder
from cachestead.objects.errors import ObjectsError
from cachestead.objects.keys import ObjectKeys
from cachestead.reconcilers.loop import Loop, LoopFigures
from cachestead.runtime.process.packet_filter import PacketFilter
from cachestead.runtime.process.runtime import ProcessRuntime
from cachestead.settings import LogSettings, Settings
from cachestead.store import facts

log = structlog.get_logger()

_LEFTOVERS_SECONDS = 60.0
_SCRIPTS_SECONDS = 1.0
_HASTY_SECONDS = 2.0


class AlreadyRunning(Exception):
    """Another service works on this data directory."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"a service already runs on this data directory (process {pid})")
        self.pid = pid


def serve(settings: Settings) -> None:
    """Run everything until SIGTERM or SIGINT. Nodes go on when it ends.

    Raises `AlreadyRunning` if another service has the data directory.
    """
    set_up_logging(settings.log)
    bootstrap.make_private(settings.data_dir)
    with _locked(settings.data_dir / "run") as run:
        code = 1
        try:
            asyncio.Runner(loop_factory=partial(LimitedLoop, settings.limits)).run(_serve(settings, run))
            code = 0
        except Exception:
            log.exception("the service ended")
        finally:
            # Work under way continues at the next start, as after a crash; there is nothing to unwind.
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


async def _serve(settings: Settings, run: Path) -> None:
    application = await bootstrap.build(settings)
    runtime, health = application.machinery.runtime, application.health
    await runtime.start()
    await application.sentinels.ensure_all()
    loops = [
        Loop("health", health.run_pass, settings.failover.health_seconds),
        Loop("leftovers", application.leftovers.run_pass, _LEFTOVERS_SECONDS),
        Loop("maintenance", application.maintenance.run_pass, settings.jobs.maintenance_seconds),
        Loop("backups", application.backups.run_pass, settings.backups.seconds),
        Loop("scripts", application.scripts.run_pass, _SCRIPTS_SECONDS),
        Loop("certificates", application.certificates.run_pass, settings.certificates.seconds),
        Loop("sampler", application.sampler.run_pass, application.sampler.pause),
    ]
    application.registry.register(LoopFigures(loops))
    await health.run_pass()
    watches = [asyncio.create_task(health.watch_exits()), asyncio.create_task(health.watch_frozen())]
    await application.runner.start()
    for loop in loops:
        loop.start()
    if application.names:
        await _start_names(application.names)
    certificate, key = bootstrap.service_certificate(settings, application.machinery.authority) or (None, None)
    server = _Server(
        uvicorn.Config(
            application.http,
            host=settings.server.host,
            port=settings.server.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=limited_protocol(settings.limits),
            ws="none",
            # Anybody could write there who they are: limits and the audit trail go by who really calls.
            proxy_headers=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=int(settings.server.stop_grace_seconds),
        ),
        run / "ready",
    )
    async with application.database.writing() as tx:
        await facts.save_fact(tx, "public_url", settings.public_url)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.ask_to_stop)
    # What is here now stays: the collector need not look at it again and again while requests are answered.
    gc.collect()
    gc.freeze()
    try:
        await server.serve()
    finally:
        if application.names:
            await application.names.stop()
        for loop in loops:
            await loop.stop()
        for watch in watches:
            watch.cancel()
        await application.runner.close(settings.server.stop_grace_seconds)
        await application.database.close()
        log.info("stopped; nodes go on")


async def _start_names(names: Responder) -> None:
    """Domain names are a comfort: without them everything else goes on."""
    try:
        await names.start()
        log.info("domain names are answered", port=names.port)
    except OSError as error:
        log.warning("domain names are not answered", port=names.port, reason=str(error))


class _Server(uvicorn.Server):
    """Uvicorn with our signals, and a file that says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Path) -> None:
        super().__init__(config)
        self._ready = ready
        self._ready.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Finish what was begun, then stop; asked twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would end the process before the rest is stopped."""
        yield

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, then say so."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._ready.touch()
            scheme = "https" if self.config.is_ssl else "http"
            log.info("ready", url=f"{scheme}://{self.config.host}:{self.config.port}")


@contextlib.contextmanager
def _locked(run: Path) -> Iterator[Path]:
    """Nobody else works on the data directory."""
    bootstrap.make_private(run)
    with (run / "cachestead.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            text = lock.read().strip()
            raise AlreadyRunning(int(text) if text.isdigit() else None) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield run


def set_up_logging(settings: LogSettings) -> None:
    """Events with fields: lines for people on a terminal, JSON elsewhere."""
    level = getattr(logging, settings.level.upper())
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Never with the values of variables: passwords are among them.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if console
            else structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            *([] if console else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, format="%(name)s: %(message)s")


def check_objects(settings: Settings) -> str | None:
    """Why objects cannot be kept; None if a small one was just put, read and removed."""
    hasty = settings.objects.model_copy(update={"retry_seconds": _HASTY_SECONDS})
    objects = bootstrap.open_objects(settings.model_copy(update={"objects": hasty}), ObjectKeys.made_up())
    key, content = f"doctor/{uuid.uuid4()}", secrets.token_bytes(64)

    async def content_once() -> AsyncIterator[bytes]:
        yield content

    async def look() -> str | None:
        try:
            await objects.put(key, content_once())
            found = b"".join([piece async for piece in objects.read(key)])
            await objects.remove([key])
        except ObjectsError as error:
            return str(error)
        return None if found == content else "what was read is not what was put"

    return asyncio.run(look())


def stop_nodes(settings: Settings) -> int:
    """End every node of the data directory, and say how many ran. The service must be stopped."""

    async def stop() -> int:
        runtime = ProcessRuntime(settings.data_dir / "nodes")
        await runtime.start()
        # Sentinels first: what ends after them is not taken for a loss.
        running = sorted((one for one in await runtime.observe_nodes() if one.running), key=lambda one: one.owner)
        sentinels = [one for one in running if one.owner == "sentinel"]
        others = [one for one in running if one.owner != "sentinel"]
        for group in (sentinels, others):
            await asyncio.gather(*(runtime.stop_node(one.id) for one in group))
        await runtime.close()
        await PacketFilter(settings.data_dir).clear()
        return len(running)

    with _locked(settings.data_dir / "run"):
        return asyncio.run(stop())


def may_guard(settings: Settings) -> bool:
    """Whether this machine lets whitelists of instances without proxies be in force."""
    return asyncio.run(PacketFilter(settings.data_dir).is_permitted())


def find_engines(settings: Settings) -> list[Choice]:
    """What serves each DCS version on this machine."""
    return catalogue.find_engines(settings.engine).describe()
