"""Queries about the templates that projects made. System templates are in the code."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cachestead.domain.instances import Mode
from cachestead.domain.templates import SYSTEM_TEMPLATES, Template, TemplateFilter, TemplateKind, name_taken
from cachestead.store.database import Tx
from cachestead.store.tables import parameter_templates
from cachestead.store.times import from_ms, to_ms

_C = parameter_templates.c


async def add_template(tx: Tx, project_id: str, template: Template) -> None:
    """A new template; raises `InvalidParameter` where the project has one of the name."""
    created = {"project_id": project_id, "created_at": to_ms(template.created_at)}
    try:
        await tx.execute(insert(parameter_templates).values(id=template.id, **created, **_row(template)))
    except IntegrityError:
        raise name_taken(template.name) from None


async def save_template(tx: Tx, project_id: str, template: Template) -> None:
    """The template as it is now; raises as before."""
    own = (_C.project_id == project_id, _C.id == template.id)
    try:
        await tx.execute(update(parameter_templates).where(*own).values(**_row(template)))
    except IntegrityError:
        raise name_taken(template.name) from None


async def remove_template(tx: Tx, project_id: str, template_id: str) -> bool:
    """The template is on record no more; whether it was."""
    own = (_C.project_id == project_id, _C.id == template_id)
    return (await tx.execute(delete(parameter_templates).where(*own))).rowcount == 1


async def find_template(tx: Tx, project_id: str, template_id: str) -> Template | None:
    """A system template, or one of the project's, or None."""
    return SYSTEM_TEMPLATES.get(template_id) or await _find_own(tx, _own(project_id, template_id))


async def lock_own_template(tx: Tx, project_id: str, template_id: str) -> Template | None:
    """One of the project's own, with its row locked until the transaction ends; or None."""
    return await _find_own(tx, _own(project_id, template_id).with_for_update())


def _own(project_id: str, template_id: str) -> Select[Any]:
    return select(parameter_templates).where(_C.project_id == project_id, _C.id == template_id)


async def _find_own(tx: Tx, query: Select[Any]) -> Template | None:
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _template(row)


async def count_templates(tx: Tx, project_id: str) -> int:
    """How many the project has of its own."""
    query = select(func.count()).select_from(parameter_templates).where(_C.project_id == project_id)
    return await tx.scalar(query) or 0


async def list_templates(
    tx: Tx, project_id: str, wanted: TemplateFilter, *, offset: int, limit: int
) -> tuple[int, list[Template]]:
    """How many of the project's own match, and the page asked for, newest first."""
    conditions = _conditions(project_id, wanted)
    count = await tx.scalar(select(func.count()).select_from(parameter_templates).where(*conditions)) or 0
    page = select(parameter_templates).where(*conditions).order_by(_C.created_at.desc(), _C.id.desc())
    return count, [_template(row) for row in (await tx.execute(page.offset(offset).limit(limit))).mappings()]


def _conditions(project_id: str, wanted: TemplateFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_C.project_id == project_id]
    if wanted.template_id is not None:
        found.append(_C.id == wanted.template_id)
    if wanted.name is not None:
        found.append(_C.name.icontains(wanted.name, autoescape=True))
    if wanted.description is not None:
        found.append(func.coalesce(_C.description, "").icontains(wanted.description, autoescape=True))
    if wanted.engine_version is not None:
        found.append(_C.engine_version == wanted.engine_version)
    if wanted.mode is not None:
        found.append(_C.mode == wanted.mode)
    return found


def _row(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "description": template.description,
        "engine_version": template.engine_version,
        "mode": template.mode.value,
        "parameters": dict(template.parameters),
    }


def _template(row: Any) -> Template:
    return Template(
        id=row["id"],
        kind=TemplateKind.USER,
        name=row["name"],
        engine_version=row["engine_version"],
        mode=Mode(row["mode"]),
        description=row["description"],
        parameters=row["parameters"],
        created_at=from_ms(row["created_at"]),
    )
