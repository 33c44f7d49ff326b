"""The tables. One place, so that a reader sees every record the product keeps.

Times are UTC epoch milliseconds (`BigInteger`): both databases sort and compare them alike. Secrets are stored
encrypted only. Migrations live in `migrations/`; a test compares them with this file.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# --- identity -------------------------------------------------------------------------------------------------

domains = Table(
    "domains",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("name", String(64), nullable=False),
    UniqueConstraint("domain_id", "name"),
)

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("roles", JSON, nullable=False, comment="those of its own, which only administrators of a domain have"),
    Column("profile", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("password_changed_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, comment="wrong passwords in a row"),
    Column("failed_at", BigInteger),
    Column("locked_until", BigInteger),
    UniqueConstraint("domain_id", "name"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key", String(64), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("secret", Text, nullable=False, comment="encrypted"),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("created_at", BigInteger, nullable=False),
    Column("description", String(255), nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("description", String(255), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", ForeignKey("groups.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True),
    Index("ix_group_members_user", "user_id"),
)

roles = Table(
    "roles",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("domain_id", ForeignKey("domains.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("display_name", String(64), nullable=False),
    Column("type", String(2), nullable=False),
    Column("description", String(255), nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "display_name"),
    comment="Custom policies. Those of the system are in the code.",
)

grants = Table(
    "grants",
    metadata,
    Column("group_id", ForeignKey("groups.id"), primary_key=True),
    Column("role_id", String(32), primary_key=True, comment="the system's or a custom one"),
    Column("scope", String(16), primary_key=True),
    Column("project_id", String(32), primary_key=True, comment="empty but for a grant on a project"),
)

traces = Table(
    "traces",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("domain_id", String(32), nullable=False),
    Column("project_id", String(32)),
    Column("at", BigInteger, nullable=False),
    Column("name", String(64), nullable=False),
    Column("service", String(16), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(64)),
    Column("resource_name", String(128)),
    Column("user_id", String(32), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("domain_name", String(64), nullable=False),
    Column("access_key", String(64)),
    Column("source_ip", String(45), nullable=False),
    Column("path", String(255), nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(32)),
    Column("request_id", String(32), nullable=False),
    Index("ix_traces_domain", "domain_id", "at", "id"),
    Index("ix_traces_at", "at"),
    comment="Who did what, when, from where and with which result.",
)

# --- network --------------------------------------------------------------------------------------------------

networks = Table(
    "networks",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("vpc_id", String(36), nullable=False, unique=True),
    Column("vpc_name", String(64), nullable=False),
    Column("subnet_id", String(36), nullable=False, unique=True),
    Column("subnet_name", String(64), nullable=False),
    Column("security_group_id", String(36), nullable=False, unique=True),
    Column("security_group_name", String(64), nullable=False),
    comment="The VPC, subnet and security group of each project; they share the region's addresses.",
)

addresses = Table(
    "addresses",
    metadata,
    Column("address", String(45), primary_key=True),
    Column("owner", String(36), nullable=False, index=True, comment="instance id, or 'sentinel'"),
)

# --- instances ------------------------------------------------------------------------------------------------

instances = Table(
    "instances",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text),
    Column("state", String(16), nullable=False),
    Column("task", String(32)),
    Column("engine", String(16), nullable=False),
    Column("engine_version", String(8), nullable=False),
    Column("spec_code", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("capacity_gb", Float, nullable=False),
    Column("memory_mb", Integer, nullable=False, comment="promised in all, replicas included"),
    Column("cpu_type", String(16), nullable=False),
    Column("vpc_id", String(36), nullable=False),
    Column("subnet_id", String(36), nullable=False),
    Column("security_group_id", String(36)),
    Column("ip", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("az_codes", JSON, nullable=False),
    Column("no_password_access", Boolean, nullable=False),
    Column("enable_ssl", Boolean, nullable=False),
    Column("binary", String(64), nullable=False),
    Column("secrets", Text, nullable=False, comment="encrypted"),
    Column("rename_commands", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("maintain_begin", String(8), nullable=False),
    Column("maintain_end", String(8), nullable=False),
    Column("backup_policy", JSON),
    Column("backup_policy_created_at", BigInteger),
    Column("backup_policy_updated_at", BigInteger),
    Column("template_id", String(36)),
    Column("enterprise_project_id", String(36), nullable=False),
    Column("enterprise_project_name", String(255), nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("launched_at", BigInteger),
    Column("fail_reason", Text),
    Column("used_memory", Integer, nullable=False, default=0),
    Column("password_failures", Integer, nullable=False, default=0),
    Column("password_locked_until", BigInteger),
    Column("whitelist_enabled", Boolean, nullable=False, default=False),
    Column("whitelist", JSON, nullable=False, comment="addresses by name of group"),
    Index("ix_instances_project", "project_id", "created_at", "id"),
    Index("ix_instances_project_state", "project_id", "state"),
    Index("ix_instances_state", "state"),
)

instance_tags = Table(
    "instance_tags",
    metadata,
    Column("instance_id", ForeignKey("instances.id"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(255), nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False, index=True),
    Column("shard", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("address", String(45), nullable=False),
    Column("port", Integer, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("role", String(8), nullable=False),
    Column("active", Boolean, nullable=False, default=False),
    Column("priority", Integer, nullable=False),
    Column("in_domain_name", Boolean, nullable=False),
)

proxies = Table(
    "proxies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("address", String(45), nullable=False),
    Column("port", Integer, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("active", Boolean, nullable=False, default=False),
)

# --- accounts -------------------------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("role", String(8), nullable=False),
    Column("password_hash", String(64), nullable=False, comment="SHA-256, as engines keep it"),
    Column("status", String(16), nullable=False),
    Column("description", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("password_failures", Integer, nullable=False, default=0),
    Column("password_locked_until", BigInteger),
    UniqueConstraint("instance_id", "name"),
)

# --- work -----------------------------------------------------------------------------------------------------

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("instance_id", String(36), index=True),
    Column("kind", String(64), nullable=False, comment="name of the workflow"),
    Column("type", String(64), nullable=False, comment="job_type that callers see"),
    Column("task", String(64), comment="name in the background task list; null: not listed"),
    Column("status", String(16), nullable=False),
    Column("step", String(64)),
    Column("step_detail", Text),
    Column("progress", Integer, nullable=False, default=0),
    Column("params", JSON, nullable=False, comment="no secret in clear"),
    Column("details", JSON, nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, comment="not to be begun before, and only in the maintenance window"),
    Column("ended_at", BigInteger),
    Column("fail_reason", Text),
    Column("hidden", Boolean, nullable=False, default=False, comment="taken off the task list by its owner"),
    Index("ix_jobs_status", "status"),
    Index("ix_jobs_project", "project_id", "created_at"),
)

facts = Table(
    "facts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the installation must remember once, such as ids made up at the first start.",
)

# --- sessions -------------------------------------------------------------------------------------------------

session_lists = Table(
    "session_lists",
    metadata,
    Column("node_id", String(32), primary_key=True, comment="data node or proxy"),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("job_id", String(32), nullable=False),
    Column("taken_at", BigInteger, nullable=False, index=True),
    comment="The newest list of each node's sessions.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("node_id", ForeignKey("session_lists.node_id", ondelete="CASCADE"), primary_key=True),
    Column("id", BigInteger, primary_key=True, comment="the engine's or the proxy's"),
    Column("addr", String(64), nullable=False),
    Column("fd", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("cmd", String(64), nullable=False),
    Column("age", BigInteger, nullable=False),
    Column("idle", BigInteger, nullable=False),
    Column("db", Integer, nullable=False),
    Column("flags", String(32), nullable=False),
    Column("sub", Integer, nullable=False),
    Column("psub", Integer, nullable=False),
    Column("multi", Integer, nullable=False),
    Column("qbuf", BigInteger, nullable=False),
    Column("qbuf_free", BigInteger, nullable=False),
    Column("obl", BigInteger, nullable=False),
    Column("oll", BigInteger, nullable=False),
    Column("omem", BigInteger, nullable=False),
    Column("events", String(8), nullable=False),
    Column("user", Text, nullable=False),
)

# --- parameters -----------------------------------------------------------------------------------------------

parameter_changes = Table(
    "parameter_changes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("job_id", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("changes", JSON, nullable=False, comment="name, value before and value after of each"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_parameter_changes_instance", "instance_id", "created_at", "id"),
)

parameter_templates = Table(
    "parameter_templates",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text),
    Column("engine_version", String(8), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("parameters", JSON, nullable=False, comment="what differs from the defaults"),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("project_id", "name"),
)

# --- backups --------------------------------------------------------------------------------------------------

backups = Table(
    "backups",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("project_id", String(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("type", String(8), nullable=False),
    Column("format", String(8), nullable=False),
    Column("status", String(16), nullable=False),
    Column("remark", Text, nullable=False),
    Column("progress", Float, nullable=False),
    Column("error", String(16)),
    Column("reason", Text),
    Column("period", String(16)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("execution_at", BigInteger),
    Column("files", JSON, nullable=False, comment="name, shard, slots, size, sha256 and number of keys of each"),
    Column("mode", String(16), nullable=False),
    Column("engine_version", String(8), nullable=False),
    Column("binary", String(64), nullable=False),
    Column("save_days", Integer),
    Column("leaves_as", String(16), comment="its state once its files are removed, which has begun"),
    Index("ix_backups_instance", "instance_id", "created_at", "id"),
)

restores = Table(
    "restores",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("instance_id", ForeignKey("instances.id"), nullable=False),
    Column("project_id", String(32), nullable=False),
    Column("backup_id", ForeignKey("backups.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("remark", Text, nullable=False),
    Column("progress", Float, nullable=False),
    Column("error", String(16)),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("backup_name", String(64), nullable=False),
    Column("backup_remark", Text, nullable=False),
    Index("ix_restores_instance", "instance_id", "created_at", "id"),
)

# --- migration ------------------------------------------------------------------------------------------------

migration_tasks = Table(
    "migration_tasks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(32), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text),
    Column("type", String(32), nullable=False),
    Column("method", String(32), nullable=False),
    Column("status", String(24), nullable=False),
    Column("source", JSON(none_as_null=True), comment="instance id, name, addresses and sealed password"),
    Column("target", JSON, nullable=False, comment="the same"),
    Column("backup_id", String(36)),
    Column("bucket", String(255)),
    Column("files", JSON, nullable=False, comment="name, size and time of each, as the caller gave them"),
    Column("progress", Float, nullable=False),
    Column("source_keys", BigInteger),
    Column("error", String(16)),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index("ix_migration_tasks_project", "project_id", "created_at", "id"),
)

# --- monitoring -----------------------------------------------------------------------------------------------

samples = Table(
    "samples",
    metadata,
    Column("instance_id", String(36), primary_key=True),
    Column("period", Integer, primary_key=True, comment="seconds that it is about; 1: as sampled"),
    Column("at", BigInteger, primary_key=True),
    Column("figures", LargeBinary, nullable=False, comment="compressed JSON: by object and metric"),
    Index("ix_samples_period", "period", "at"),
    comment="Figures of instances. They go by time, also those of instances that are gone.",
)
