"""Bodies of chapter 4.4, Parameter Management."""

from __future__ import annotations

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import RequestBody
from cachestead.api.formats import iso_time
from cachestead.domain.parameters import Kind, Parameter, ParameterCatalogue, ParameterChange, Wanted
from cachestead.operations.parameters import ChangeRecord, Configuration

_TYPES = {Kind.INTEGER: "Interger", Kind.CHOICE: "Enum", Kind.EVENTS: "regular", Kind.TEXT: "String"}
"""As the reference spells them."""
_MOST = 100
"""Entries in one request; there are fewer parameters."""


class ParameterWish(RequestBody):
    """A parameter to set, by id, by name, or by both."""

    param_id: str | None = None
    param_name: str | None = None
    param_value: str

    def to_wanted(self) -> Wanted:
        """The wish as the domain judges it."""
        return Wanted(self.param_value, self.param_id or None, self.param_name or None)


class ChangeParameters(RequestBody):
    """Body of update_configurations and update_instance_config."""

    redis_config: list[ParameterWish] | None = None

    def to_wanted(self) -> list[Wanted]:
        """What is wanted; raises `InvalidParameter` where that is nothing."""
        if not self.redis_config or len(self.redis_config) > _MOST:
            raise errors.InvalidParameter(f"redis_config: 1-{_MOST} parameters", name="redis_config")
        return [one.to_wanted() for one in self.redis_config]


class ParameterOut(BaseModel):
    """A parameter, its value, and what it may be."""

    param_id: str
    param_name: str
    description: str
    param_value: str
    value_range: str
    value_type: str
    default_value: str
    need_restart: bool

    @classmethod
    def of(cls, parameter: Parameter, value: str) -> ParameterOut:
        """The parameter as callers see it."""
        return cls(
            param_id=parameter.id,
            param_name=parameter.name,
            description=parameter.text,
            param_value=value,
            value_range=parameter.range,
            value_type=_TYPES[parameter.kind],
            default_value=parameter.default,
            need_restart=parameter.needs_restart,
        )


class ConfigurationOut(BaseModel):
    """Answer of list_configurations."""

    instance_id: str
    config_time: str | None
    config_status: str
    status: str
    redis_config: list[ParameterOut]

    @classmethod
    def of(cls, found: Configuration) -> ConfigurationOut:
        """The configuration as callers see it."""
        return cls(
            instance_id=found.instance.id,
            config_time=iso_time(found.changed_at),
            config_status=found.status.value,
            status=found.instance.state.value,
            redis_config=[ParameterOut.of(one, found.values[one.name]) for one in found.parameters],
        )


class ChangeOut(BaseModel):
    """A change of parameters."""

    history_id: str
    type: str = "config_param"
    created_at: str | None
    status: str

    @classmethod
    def of(cls, change: ParameterChange) -> ChangeOut:
        """The change as the list has it."""
        return cls(history_id=change.id, created_at=iso_time(change.created_at), status=change.status.value)


class ChangesOut(BaseModel):
    """Answer of list_config_histories."""

    history_num: int
    histories: list[ChangeOut]

    @classmethod
    def of(cls, count: int, changes: list[ParameterChange]) -> ChangesOut:
        """A page of changes."""
        return cls(history_num=count, histories=[ChangeOut.of(one) for one in changes])


class ValueChangeOut(BaseModel):
    """One parameter of a change."""

    param_id: str
    param_name: str
    old_value: str
    new_value: str


class ChangeDetailOut(BaseModel):
    """Answer of show_config_history_detail. The reference leaves its form open."""

    history_id: str
    type: str = "config_param"
    created_at: str | None
    updated_at: str | None
    status: str
    job_id: str
    fail_reason: str | None
    redis_config: list[ValueChangeOut]

    @classmethod
    def of(cls, record: ChangeRecord, catalogue: ParameterCatalogue) -> ChangeDetailOut:
        """The change with its values before and after."""
        change = record.change
        return cls(
            history_id=change.id,
            created_at=iso_time(change.created_at),
            updated_at=iso_time(change.updated_at),
            status=change.status.value,
            job_id=change.job_id,
            fail_reason=record.fail_reason,
            redis_config=[
                ValueChangeOut(
                    param_id=catalogue.id_of(one.name),
                    param_name=one.name,
                    old_value=one.before,
                    new_value=one.after,
                )
                for one in change.changes
            ],
        )
