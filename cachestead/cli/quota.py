"""`quota`: what the project may have and has."""

from __future__ import annotations

from cachestead.cli.options import Config, DataDir, Output, OutputFormat
from cachestead.cli.printing import print_rows
from cachestead.cli.session import open_client

COLUMNS = {"type": "RESOURCE", "used": "USED", "quota": "LIMIT", "unit": "UNIT"}


def quota(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """Show the project's limits and what is used of them."""
    with open_client(data_dir, config) as client:
        found = client.show_quota_of_tenant()
    # The reference writes `{}` where there is no unit.
    print_rows([row | {"unit": row.get("unit") or None} for row in found], COLUMNS, output)
