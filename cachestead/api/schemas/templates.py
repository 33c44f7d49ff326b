"""Bodies of chapter 4.14, Template Management."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.api.formats import iso_time
from cachestead.api.schemas.parameters import ParameterOut
from cachestead.domain.instances import Mode
from cachestead.domain.orders import VERSIONS
from cachestead.domain.parameters import Parameter
from cachestead.domain.templates import Template, TemplateKind
from cachestead.operations.templates import NewTemplate, TemplateEdit


def read_kind(text: str | None) -> TemplateKind:
    """`sys` or `user`; raises `InvalidParameter`."""
    try:
        return TemplateKind(text or "")
    except ValueError:
        raise errors.InvalidParameter("type: sys or user", name="type") from None


def check_shape(engine: str | None, engine_version: str | None, mode: str | None) -> None:
    """Engine, version and type are on offer, where they are given."""
    if engine and engine.lower() != "redis":
        raise errors.EngineNotSupported("engine: Redis")
    if engine_version and engine_version not in VERSIONS:
        raise errors.EngineVersionNotSupported(f"engine_version: one of {', '.join(VERSIONS)}")
    if mode and mode not in list(Mode):
        raise errors.InstanceTypeNotSupported(f"cache_mode: one of {', '.join(Mode)}")


class CreateTemplate(RequestBody):
    """Body of create_custom_template."""

    template_id: str
    name: str
    type: str
    engine: Annotated[str | None, Refused(errors.EngineNotSupported)] = None
    cache_mode: Annotated[str | None, Refused(errors.InstanceTypeNotSupported)] = None
    description: str | None = None
    engine_version: Annotated[str | None, Refused(errors.EngineVersionNotSupported)] = None
    params: dict[str, str]

    def to_template(self) -> NewTemplate:
        """What is wanted; raises the code of what cannot be."""
        check_shape(self.engine, self.engine_version, self.cache_mode)
        return NewTemplate(
            source_id=self.template_id,
            source_kind=read_kind(self.type),
            name=self.name,
            parameters=self.params,
            description=self.description,
            engine_version=self.engine_version or None,
            mode=self.cache_mode or None,
        )


class UpdateTemplate(RequestBody):
    """Body of update_config_template."""

    name: str | None = None
    description: str | None = None
    params: dict[str, str] | None = None

    def to_edit(self) -> TemplateEdit:
        """What is to be changed."""
        return TemplateEdit(self.name, self.description, self.params)


class CreatedTemplateOut(BaseModel):
    """Answer of create_custom_template."""

    id: str


class ResultOut(BaseModel):
    """Answer of update_config_template and delete_config_template."""

    result: str = "success"


class TemplateOut(BaseModel):
    """A template, without its parameters."""

    template_id: str
    name: str
    type: str
    description: str | None
    engine: str = "Redis"
    engine_version: str
    cache_mode: str
    product_type: str = "generic"
    storage_type: str = "DRAM"
    created_at: str | None

    @classmethod
    def of(cls, template: Template) -> TemplateOut:
        """The template as callers see it."""
        return cls(**_fields(template))


def _fields(template: Template) -> dict[str, str | None]:
    return {
        "template_id": template.id,
        "name": template.name,
        "type": template.kind.value,
        "description": template.description,
        "engine_version": template.engine_version,
        "cache_mode": template.mode.value,
        "created_at": iso_time(template.created_at),
    }


class TemplateDetailOut(TemplateOut):
    """Answer of show_config_template, with what Terraform reads besides: each value beside its default."""

    params: list[ParameterOut]

    @classmethod
    def with_parameters(cls, template: Template, parameters: list[Parameter]) -> TemplateDetailOut:
        """The template with the parameters of its type."""
        values = template.parameters
        params = [ParameterOut.of(one, values.get(one.name, one.default)) for one in parameters]
        return cls(**_fields(template), params=params)


class TemplatesOut(BaseModel):
    """Answer of list_config_templates."""

    template_num: int
    templates: list[TemplateOut]

    @classmethod
    def of(cls, count: int, templates: list[Template]) -> TemplatesOut:
        """A page of templates."""
        return cls(template_num=count, templates=[TemplateOut.of(one) for one in templates])
