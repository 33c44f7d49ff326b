"""Chapter 4.4: Parameter Management. An instance's parameters, and what was changed about them."""

from __future__ import annotations

from typing import Annotated

from cachestead import errors
from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Limit, Offset
from cachestead.api.schemas.parameters import ChangeDetailOut, ChangeParameters, ChangesOut, ConfigurationOut
from cachestead.api.schemas.tasks import JobIdOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import parameters
from cachestead.store import instances as instance_store
from cachestead.store import parameters as store

chapter = Chapter("4.4", "Parameter Management")
_ONE = "/v2/{project_id}/instances/{instance_id}"
_HISTORIES = _ONE + "/config-histories"


@chapter.get(_ONE + "/configs")
async def list_configurations(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:getConfiguration"]], service: Use
) -> ConfigurationOut:
    """List an instance's parameters with their values, and how the last change of them is doing."""
    return ConfigurationOut.of(await parameters.get_configuration(service, caller, instance_id))


@chapter.put(_ONE + "/configs", status=204)
async def update_configurations(
    instance_id: InstanceIdPath,
    body: ChangeParameters,
    caller: Annotated[Caller, May["dcs:instance:modifyConfigureation"]],
    service: Use,
) -> None:
    """Change parameters. `config_status` is UPDATING until they are in force; no restart is needed."""
    wanted = body.to_wanted()
    await parameters.change_parameters(service, caller, instance_id, wanted, errors.ParametersChanging)


@chapter.put(_ONE + "/async-configs")
async def update_instance_config(
    instance_id: InstanceIdPath,
    body: ChangeParameters,
    caller: Annotated[Caller, May["dcs:instance:modifyConfigureation"]],
    service: Use,
) -> JobIdOut:
    """The same; the answer names the job.

    While another change of parameters is on its way it answers `DCS.4114`, by which its callers know to wait.
    """
    return JobIdOut.of(await parameters.change_parameters(service, caller, instance_id, body.to_wanted()))


@chapter.get(_HISTORIES)
async def list_config_histories(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:getConfiguration"]],
    service: Use,
    offset: Offset = 0,
    limit: Limit = 10,
) -> ChangesOut:
    """List the changes of an instance's parameters, newest first."""
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        count, found = await store.list_changes(tx, instance_id, offset=offset, limit=limit)
    return ChangesOut.of(count, found)


@chapter.get(_HISTORIES + "/{history_id}")
async def show_config_history_detail(
    instance_id: InstanceIdPath,
    history_id: str,
    caller: Annotated[Caller, May["dcs:instance:getConfiguration"]],
    service: Use,
) -> ChangeDetailOut:
    """Show a change with the values before and after, and why it failed, if it did."""
    record = await parameters.get_change(service, caller, instance_id, history_id)
    return ChangeDetailOut.of(record, service.parameters)
