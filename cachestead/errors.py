"""The catalogue of documented errors: each code once, with its status and its sentence.

A class's docstring is the sentence that the caller reads, word for word as the reference's table 6.2 prints it;
`{name}` is filled from the data it is raised with. What the table cannot say (which field, which limit) goes into
`detail`, which becomes `error_ext_msg`. Raised by name, turned into HTTP only in `api/app.py`.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class ServiceError(Exception):
    """An error with a documented code; subclasses are the catalogue."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str | None = None, **data: object) -> None:
        self.detail = detail
        self.data = data
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The documented sentence with its placeholders filled."""
        text = " ".join(inspect.cleandoc(type(self).__doc__ or "").split())
        return text.format_map(_Blank(self.data))

    def __str__(self) -> str:
        return f"{self.code} {self.sentence}" + (f" ({self.detail})" if self.detail else "")


class _Blank(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def catalogue() -> list[type[ServiceError]]:
    """Every error of the catalogue, by code."""
    found: list[type[ServiceError]] = []
    pending = list(ServiceError.__subclasses__())
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        found.append(error)
    return sorted(found, key=lambda error: error.code)


class IncorrectAuthentication(ServiceError):
    """Incorrect IAM authentication information: {name}"""

    # Not in table 6.2: the gateway in front of the public service answers it, and clients know it.
    code, status = "APIGW.0301", 401


class RequestTooLarge(ServiceError):
    """Request entity too large."""

    # Not in table 6.2: the gateway in front of the public service answers it.
    code, status = "APIGW.0201", 413


class TooManyRequests(ServiceError):
    """The throttling threshold has been reached."""

    # Not in table 6.2: the gateway in front of the public service answers it, and the SDK repeats such calls.
    code, status = "APIGW.0308", 429


class RequestTooSlow(ServiceError):
    """The request was not sent in time."""

    # In no document: the public service's gateway cuts such connections off.
    code, status = "APIGW.0408", 408


class InvalidProjectId(ServiceError):
    """Invalid project ID format."""

    code, status = "DCS.4002", 400


class EmptyBody(ServiceError):
    """Empty request body."""

    code, status = "DCS.4004", 400


class MalformedBody(ServiceError):
    """The message body contains invalid characters or is not in JSON format."""

    code, status = "DCS.4005", 400


class EngineNotSupported(ServiceError):
    """The selected cache engine type is not supported."""

    code, status = "DCS.4006", 400


class EngineVersionNotSupported(ServiceError):
    """The selected cache engine version is not supported."""

    code, status = "DCS.4008", 400


class InvalidProductId(ServiceError):
    """Invalid product ID in the request."""

    code, status = "DCS.4009", 400


class InvalidName(ServiceError):
    """Invalid DCS instance name. The name must be 4 to 64 characters in length. Only letters
    (case-insensitive), digits, underscores (_) ,and hyphens (-) are allowed.
    """

    code, status = "DCS.4010", 400


class InvalidDescription(ServiceError):
    """DCS instance description cannot exceed 1024 characters."""

    code, status = "DCS.4011", 400


class InvalidCapacity(ServiceError):
    """Invalid capacity parameter in the request."""

    code, status = "DCS.4012", 400


class InvalidVpcId(ServiceError):
    """Invalid vpc_id in the request."""

    code, status = "DCS.4013", 400


class InvalidSecurityGroupId(ServiceError):
    """Invalid security_group_id in the request."""

    code, status = "DCS.4014", 400


class InvalidSubnetId(ServiceError):
    """Invalid subnet_id in the request."""

    code, status = "DCS.4016", 400


class JobStillRunning(ServiceError):
    """This DCS instance job task is still running."""

    code, status = "DCS.4017", 400


class SubnetNotInVpc(ServiceError):
    """This subnet must exist in the VPC."""

    code, status = "DCS.4018", 400


class WeakPassword(ServiceError):
    """The password does not meet complexity requirements."""

    code, status = "DCS.4019", 400


class WrongState(ServiceError):
    """This operation is not allowed when the DCS instance is in the current state."""

    code, status = "DCS.4026", 400


class BackupGone(ServiceError):
    """The start time must be before than the current server time."""

    # Clients take it for a backup that is there no more, whatever its sentence says.
    code, status = "DCS.4031", 400


class InstanceQuotaExceeded(ServiceError):
    """DCS instance quota of the tenant is insufficient."""

    code, status = "DCS.4035", 400


class MemoryQuotaExceeded(ServiceError):
    """Memory quota of the tenant is insufficient."""

    code, status = "DCS.4036", 400


class QuotaLimitReached(ServiceError):
    """The quota limit has been reached."""

    code, status = "DCS.4039", 400


class ZoneNotFound(ServiceError):
    """This AZ does not exist."""

    code, status = "DCS.4042", 400


class SecurityGroupNotFound(ServiceError):
    """This security group does not exist."""

    code, status = "DCS.4046", 400


class NotRunning(ServiceError):
    """The instance status is not running."""

    code, status = "DCS.4049", 400


class ZoneQuotaExceeded(ServiceError):
    """the selected available zone quota not enough."""

    code, status = "DCS.4054", 400


class InvalidInstanceId(ServiceError):
    """Invalid instance ID format."""

    code, status = "DCS.4061", 400


class InvalidParameter(ServiceError):
    """Invalid {name} parameter in the request."""

    code, status = "DCS.4062", 400


class InvalidAction(ServiceError):
    """The action parameter in the request must be start, stop, or restart."""

    code, status = "DCS.4064", 400


class InstancesMissing(ServiceError):
    """The instances parameter in the request cannot be a null value or left unspecified."""

    code, status = "DCS.4065", 400


class VpcNotFound(ServiceError):
    """This VPC does not exist."""

    code, status = "DCS.4068", 400


class InvalidTaskId(ServiceError):
    """Invalid task ID format."""

    code, status = "DCS.4070", 400


class InvalidSaveDays(ServiceError):
    """Invalid saveDays instance backup policy parameter in the request."""

    code, status = "DCS.4072", 400


class InvalidBackupType(ServiceError):
    """Invalid backupType instance backup policy parameter in the request."""

    code, status = "DCS.4073", 400


class InvalidPeriodType(ServiceError):
    """Invalid periodType instance backup policy parameter in the request."""

    code, status = "DCS.4074", 400


class InvalidBackupAt(ServiceError):
    """Invalid backupAt instance backup policy parameter in the request."""

    code, status = "DCS.4075", 400


class InvalidBeginAt(ServiceError):
    """Invalid beginAt instance backup policy parameter in the request."""

    code, status = "DCS.4076", 400


class WrongPassword(ServiceError):
    """Instance password verify failed."""

    code, status = "DCS.4080", 400


class BackupNotUsable(ServiceError):
    """the backup record status is err when restore this instance"""

    code, status = "DCS.4087", 400


class BackupNotSupported(ServiceError):
    """the system is not support backup and restore."""

    code, status = "DCS.4095", 400


class BackupRunning(ServiceError):
    """the instance is backuping."""

    code, status = "DCS.4096", 400


class RestoreRunning(ServiceError):
    """the instance is restoring."""

    code, status = "DCS.4097", 400


class RemarkTooLong(ServiceError):
    """The value of the remark parameter must be 0 to 128 characters in length."""

    code, status = "DCS.4098", 400


class NotDeletable(ServiceError):
    """DCS instances in the Creating, Starting, Stopping, or Restarting state cannot be deleted."""

    code, status = "DCS.4099", 400


class TooManyInstances(ServiceError):
    """The number of instance IDs in an instances array cannot exceed 50."""

    code, status = "DCS.4100", 400


class BackupNotDeleted(ServiceError):
    """Delete instance backup file failed."""

    code, status = "DCS.4101", 500


class InvalidMaintenanceWindow(ServiceError):
    """The value of maintain time illegal."""

    code, status = "DCS.4106", 400


class Restarting(ServiceError):
    """the instance is restarting."""

    code, status = "DCS.4111", 400


class Extending(ServiceError):
    """the instance is extending."""

    code, status = "DCS.4113", 400


class Configuring(ServiceError):
    """the instance is configuring."""

    code, status = "DCS.4114", 400


class ChangingPassword(ServiceError):
    """the instance is changing the password."""

    code, status = "DCS.4115", 400


class Upgrading(ServiceError):
    """the instance is upgrading."""

    code, status = "DCS.4116", 400


class Creating(ServiceError):
    """the instance is creating."""

    code, status = "DCS.4118", 400


class JobNotFound(ServiceError):
    """Instance job is not found."""

    code, status = "DCS.4133", 400


class InvalidValue(ServiceError):
    """Invalid {name} in the request."""

    code, status = "DCS.4800", 400


class InvalidNoPasswordAccess(ServiceError):
    """The no_password_access parameter is missing or its value is invalid."""

    code, status = "DCS.4843", 400


class InvalidAccessUser(ServiceError):
    """The access_user parameter is missing or its value is invalid."""

    code, status = "DCS.4844", 400


class InvalidPassword(ServiceError):
    """The password parameter is missing or its value is invalid."""

    code, status = "DCS.4845", 400


class PasswordNotExpected(ServiceError):
    """The request parameter new_password should not exist."""

    code, status = "DCS.4849", 400


class PasswordFreeInstance(ServiceError):
    """This operation is not supported when Password-Free Access is enabled for the instance."""

    code, status = "DCS.4850", 400


class AddressesExhausted(ServiceError):
    """The network ip insufficient."""

    code, status = "DCS.4911", 400


class InvalidSpecCode(ServiceError):
    """The param spec_code is invalid"""

    code, status = "DCS.4927", 400


class TaskNotFinished(ServiceError):
    """This operation is not allowed when the task is in the current state."""

    code, status = "DCS.4957", 400


class InvalidToken(ServiceError):
    """Invalid token."""

    code, status = "DCS.1001", 401


class TokenExpired(ServiceError):
    """Token expired."""

    code, status = "DCS.1002", 401


class NoToken(ServiceError):
    """No token in the request."""

    code, status = "DCS.1003", 401


class ProjectMismatch(ServiceError):
    """Project ID does not match the token."""

    code, status = "DCS.1004", 401


class RoleNotAllowed(ServiceError):
    """This role does not have the permission to perform this operation."""

    code, status = "DCS.2003", 403


class PolicyNotAllowed(ServiceError):
    """Policy does not allow {name} to be performed."""

    code, status = "DCS.2007", 403


class ReadOnlyTenant(ServiceError):
    """This tenant has read permission only and cannot perform this operation."""

    code, status = "DCS.3002", 403


class InstanceNotFound(ServiceError):
    """This DCS instance does not exist."""

    code, status = "DCS.3022", 404


class UrlNotFound(ServiceError):
    """The requested URL does not exist."""

    code, status = "DCS.4001", 404


class MethodNotAllowed(ServiceError):
    """This request method is not allowed."""

    code, status = "DCS.5001", 405


class InternalError(ServiceError):
    """Internal service error."""

    code, status = "DCS.5000", 500


class InstanceTypeUnchangeable(ServiceError):
    """Instance type cannot be changed."""

    code, status = "DCS.4200", 400


class TooManyReplicas(ServiceError):
    """Create replication number exceed max number limit."""

    code, status = "DCS.4875", 400


class LastReplicaInName(ServiceError):
    """r/w instance have only one repl can not remove ip from dns"""

    code, status = "DCS.4879", 400


class InvalidNodeList(ServiceError):
    """The request param node_list is invalid"""

    code, status = "DCS.4930", 400


class NotReplica(ServiceError):
    """Node is not replica, can't delete."""

    code, status = "DCS.4931", 400


class InvalidZones(ServiceError):
    """The param available_zones is invalid."""

    code, status = "DCS.4933", 400


class LastReplicaAddress(ServiceError):
    """Only one slave replication has dns ip, can not delete"""

    code, status = "DCS.4935", 400


class MasterNotDeletable(ServiceError):
    """The master node cannot be deleted"""

    code, status = "DCS.4936", 400


class LastReplica(ServiceError):
    """Only has one slave node,can not delete"""

    code, status = "DCS.4937", 400


class InvalidPriority(ServiceError):
    """The param slave_priority_weight is invalid."""

    code, status = "DCS.4939", 400


class AllPrioritiesZero(ServiceError):
    """All replicas have a priority of 0."""

    code, status = "DCS.4253", 400


class SwitchoverNotSupported(ServiceError):
    """Master standby swap is not supported."""

    code, status = "DCS.4855", 400


class SwitchoverFailed(ServiceError):
    """Master standby swap failed."""

    code, status = "DCS.5094", 500


class Recovering(ServiceError):
    """The DCS instance is recovering from an internal fault. Please try again later or contact customer service."""  # noqa: E501

    code, status = "DCS.4104", 400


class ResizeNotSupported(ServiceError):
    """The system is not support resize."""

    code, status = "DCS.4102", 400


class ResizeRunning(ServiceError):
    """The Instance exists for processing scale up order. Please try again later."""

    code, status = "DCS.4108", 400


class NodeNotSupported(ServiceError):
    """This operation is not supported on this node."""

    code, status = "DCS.4027", 400


class NamesNotSupported(ServiceError):
    """Do not support feature dns."""

    code, status = "DCS.4840", 400


class InvalidNodeId(ServiceError):
    """Incorrect node ID."""

    code, status = "DCS.3053", 400


class SessionsNotSupported(ServiceError):
    """Client Management is not supported."""

    code, status = "DCS.4848", 400


class InstanceTypeNotSupported(ServiceError):
    """Instance type is not supported."""

    code, status = "DCS.4007", 400


class InvalidParameterValue(ServiceError):
    """Invalid value of the configure parameter {name}."""

    code, status = "DCS.4066", 400


class ParametersChanging(ServiceError):
    """Another user is modifying configuration parameters of the DCS instance. Please try again later."""

    code, status = "DCS.4069", 500


class InvalidAccount(ServiceError):
    """Acl account request param invalid."""

    # Not in table 6.2: only the examples of section 4.10 have it.
    code, status = "DCS.4961", 400


class SslNotSupported(ServiceError):
    """Do not support SSL."""

    # Not in table 6.2: only the examples of section 4.11 have it.
    code, status = "DCS.4201", 400


class InvalidSsl(ServiceError):
    """ssl request params are invalid."""

    code, status = "DCS.4202", 400


class TemplateNotFound(ServiceError):
    """The parameter template does not exist."""

    # Not in table 6.2: clients know the code by what the public service answers.
    code, status = "DCS.4988", 400
