"""Requests and answers of chapter 4.11."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, StrictBool

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.api.formats import iso_time
from cachestead.domain.jobs import Job
from cachestead.domain.ssl import Endpoint
from cachestead.operations.ssl import Certificate


class SwitchSsl(RequestBody):
    """Body of update_ssl_switch."""

    enabled: Annotated[StrictBool, Refused(errors.InvalidSsl)]


class SwitchSslOut(BaseModel):
    """Answer of update_ssl_switch."""

    job_id: str
    instance_id: str
    result: str | None = None
    """What came of it is for the job to say."""

    @classmethod
    def of(cls, job: Job) -> SwitchSslOut:
        """The job to ask about."""
        return cls(job_id=job.id, instance_id=job.instance_id or "")


class SslOut(BaseModel):
    """Answer of show_instance_ssl_detail. The domain name has the port behind it, as in the reference."""

    enabled: bool = True
    ip: str
    ipv6: str | None = None
    port: str
    domain_name: str
    ssl_expired_at: str | None
    ssl_validated: bool

    @classmethod
    def of(cls, seen: Endpoint) -> SslOut:
        """What was seen."""
        return cls(
            ip=seen.ip,
            port=str(seen.port),
            domain_name=f"{seen.domain_name}:{seen.port}",
            ssl_expired_at=iso_time(seen.expires_at),
            ssl_validated=seen.is_valid,
        )


class CertificateOut(BaseModel):
    """Answer of download_ssl_cert."""

    file_name: str
    link: str
    bucket_name: str

    @classmethod
    def of(cls, found: Certificate) -> CertificateOut:
        """Where it is."""
        return cls(file_name=found.file_name, link=found.link, bucket_name=found.bucket)
