"""Chapter 4.14: Template Management. Parameters to make instances with."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import Limit, Offset
from cachestead.api.schemas.templates import (
    CreatedTemplateOut,
    CreateTemplate,
    ResultOut,
    TemplateDetailOut,
    TemplatesOut,
    UpdateTemplate,
    check_shape,
    read_kind,
)
from cachestead.api.services import Use
from cachestead.domain.templates import SYSTEM_TEMPLATES, TemplateFilter, TemplateKind
from cachestead.identity.callers import Caller
from cachestead.operations import templates
from cachestead.store import templates as store

chapter = Chapter("4.14", "Template Management")
_ALL = "/v2/{project_id}/config-templates"
_ONE = _ALL + "/{template_id}"


@chapter.get(_ALL)
async def list_config_templates(
    caller: Annotated[Caller, May["dcs:template:list"]],
    service: Use,
    type: str | None = None,  # noqa: A002 - the documented name
    name: str | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    cache_mode: str | None = None,
    template_id: str | None = None,
    description: str | None = None,
    offset: Offset = 0,
    limit: Limit = 10,
) -> TemplatesOut:
    """List the system's templates or the project's own."""
    kind = read_kind(type)
    check_shape(engine, engine_version, cache_mode)
    wanted = TemplateFilter(template_id, name, description, engine_version or None, cache_mode or None)
    if kind is TemplateKind.SYSTEM:
        matching = [one for one in SYSTEM_TEMPLATES.values() if wanted.matches(one)]
        return TemplatesOut.of(len(matching), matching[offset : offset + limit])
    async with service.database.reading() as tx:
        count, found = await store.list_templates(tx, caller.project, wanted, offset=offset, limit=limit)
    return TemplatesOut.of(count, found)


@chapter.get(_ONE)
async def show_config_template(
    template_id: str,
    caller: Annotated[Caller, May["dcs:template:get"]],
    service: Use,
    type: str | None = None,  # noqa: A002 - the documented name
) -> TemplateDetailOut:
    """Show a template with its parameters, each value beside the default."""
    kind = read_kind(type)
    async with service.database.reading() as tx:
        found = await store.find_template(tx, caller.project, template_id)
    if found is None or found.kind is not kind:
        raise templates.not_found(template_id)
    return TemplateDetailOut.with_parameters(found, service.parameters.parameters_of(found.mode))


@chapter.post(_ALL)
async def create_custom_template(
    body: CreateTemplate, caller: Annotated[Caller, May["dcs:template:create"]], service: Use
) -> CreatedTemplateOut:
    """Make a template from another one; `type` says of which kind that is."""
    made = await templates.create_template(service, caller, body.to_template())
    return CreatedTemplateOut(id=made.id)


@chapter.put(_ONE)
async def update_config_template(
    template_id: str,
    body: UpdateTemplate,
    caller: Annotated[Caller, May["dcs:template:modify"]],
    service: Use,
) -> ResultOut:
    """Change one of the project's own templates. Instances made from it stay as they are."""
    await templates.update_template(service, caller, template_id, body.to_edit())
    return ResultOut()


@chapter.delete(_ONE)
async def delete_config_template(
    template_id: str, caller: Annotated[Caller, May["dcs:template:delete"]], service: Use
) -> ResultOut:
    """Delete one of the project's own templates. Instances made from it keep their values."""
    await templates.delete_template(service, caller, template_id)
    return ResultOut()
