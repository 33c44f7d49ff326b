"""The templates that projects make, each from one that is there and for its version and type.

Reference: section 4.14.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cachestead import errors
from cachestead.domain.parameters import Values, Wanted, check_values
from cachestead.domain.templates import (
    Template,
    TemplateKind,
    check_template_description,
    check_template_name,
)
from cachestead.identity.callers import Caller
from cachestead.operations.service import Service
from cachestead.store import networks
from cachestead.store import templates as store
from cachestead.store.database import Tx


@dataclass(frozen=True)
class NewTemplate:
    """What a caller wants a template to be."""

    source_id: str
    source_kind: TemplateKind
    name: str
    parameters: Mapping[str, str]
    description: str | None = None
    engine_version: str | None = None
    """That of the source, if it is given; so is the type."""
    mode: str | None = None


@dataclass(frozen=True)
class TemplateEdit:
    """What a caller wants changed; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    parameters: Mapping[str, str] | None = None
    """Values to set; the others stay as they are."""


async def create_template(service: Service, caller: Caller, wanted: NewTemplate) -> Template:
    """A new template of the project. Raises the code of the first field that cannot be, or `QuotaLimitReached`."""
    name, description = check_template_name(wanted.name), check_template_description(wanted.description)
    async with service.database.writing() as tx:
        source = await _get_source(tx, caller, wanted)
        values = _checked(service, source, wanted.parameters)
        await networks.lock_allocation(tx)
        limit = service.quotas.templates
        if await store.count_templates(tx, caller.project) >= limit:
            raise errors.QuotaLimitReached(f"{limit} of {limit} templates are in use")
        made = replace(
            source,
            id=str(uuid.uuid4()),
            kind=TemplateKind.USER,
            name=name,
            description=description,
            parameters={**source.parameters, **values},
            created_at=service.now(),
        )
        await store.add_template(tx, caller.project, made)
    return made


async def _get_source(tx: Tx, caller: Caller, wanted: NewTemplate) -> Template:
    source = await store.find_template(tx, caller.project, wanted.source_id)
    if source is None or source.kind is not wanted.source_kind:
        raise errors.InvalidParameter(
            f"template_id: no such template of type {wanted.source_kind}", name="template_id"
        )
    if wanted.engine_version not in (None, source.engine_version):
        raise errors.EngineVersionNotSupported(f"engine_version: the template is of {source.engine_version}")
    if wanted.mode not in (None, source.mode):
        raise errors.InstanceTypeNotSupported(f"cache_mode: the template is of {source.mode}")
    return source


async def update_template(service: Service, caller: Caller, template_id: str, edit: TemplateEdit) -> None:
    """The project's template as wanted. Instances made from it stay as they are. Raises `TemplateNotFound`."""
    async with service.database.writing() as tx:
        template = await store.lock_own_template(tx, caller.project, template_id)
        if template is None:
            raise not_found(template_id)
        if edit.name not in (None, template.name):
            template = replace(template, name=check_template_name(edit.name or ""))
        if edit.description is not None:
            template = replace(template, description=check_template_description(edit.description))
        values = _checked(service, template, edit.parameters or {})
        await store.save_template(
            tx, caller.project, replace(template, parameters={**template.parameters, **values})
        )


async def delete_template(service: Service, caller: Caller, template_id: str) -> None:
    """The project's template is gone. Instances made from it keep their values. Raises `TemplateNotFound`."""
    async with service.database.writing() as tx:
        if not await store.remove_template(tx, caller.project, template_id):
            raise not_found(template_id)


def not_found(template_id: str) -> errors.TemplateNotFound:
    """The error for an id that no template of the kind has."""
    return errors.TemplateNotFound(f"template {template_id[:64]}")


def _checked(service: Service, template: Template, parameters: Mapping[str, str]) -> Values:
    wanted = [Wanted(value, name=name) for name, value in parameters.items()]
    return check_values(service.parameters.parameters_of(template.mode), wanted)
