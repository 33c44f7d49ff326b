"""The audit trail: kept in the records, and in a file as well where the settings name one."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from io import TextIOWrapper
from logging import LogRecord, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from cachestead.settings import AuditSettings
from cachestead.store.database import Database
from cachestead.store.traces import Trace, add_trace

log = structlog.get_logger()

_MIB = 1024 * 1024


class Trail:
    """Where traces go."""

    def __init__(self, database: Database, settings: AuditSettings) -> None:
        self._database = database
        self._file = _PrivateFile(settings.file, settings) if settings.file else None

    async def record(self, trace: Trace) -> None:
        """Keep it. What cannot be kept is said in the log: the call itself is done."""
        try:
            async with self._database.writing() as tx:
                kept = await add_trace(tx, trace)
            if self._file is not None:
                self._file.write(asdict(kept) | {"rating": kept.rating})
        except Exception:
            log.exception("a trace was not kept", trace=trace.name, request_id=trace.request_id)

    def close(self) -> None:
        """Nothing more will come."""
        if self._file is not None:
            self._file.close()


class _PrivateFile(RotatingFileHandler):
    """Lines of JSON that only their owner may read."""

    def __init__(self, path: Path, settings: AuditSettings) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=settings.file_mb * _MIB, backupCount=settings.files, encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """One more line; the file is put aside first if it would become too large. Raises `OSError`."""
        self.emit(makeLogRecord({"msg": "%s", "args": (json.dumps(record, ensure_ascii=False),)}))

    def handleError(self, record: LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        """Let it be seen: whoever writes a trace says so."""
        raise  # noqa: PLE0704 - it is called where the failure is handled

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")
