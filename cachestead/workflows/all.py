"""Every workflow there is. A workflow that is not listed here does not run."""

from cachestead.workflows.back_up_instance import BACK_UP_INSTANCE
from cachestead.workflows.change_accounts import (
    CHANGE_ACCOUNT_PASSWORD,
    CHANGE_ACCOUNT_ROLE,
    CREATE_ACCOUNT,
    DELETE_ACCOUNT,
)
from cachestead.workflows.change_parameters import CHANGE_PARAMETERS
from cachestead.workflows.change_password import CHANGE_PASSWORD
from cachestead.workflows.change_port import CHANGE_PORT
from cachestead.workflows.change_ssl import CHANGE_SSL, KEEP_SSL
from cachestead.workflows.change_type import CHANGE_TYPE
from cachestead.workflows.change_whitelist import CHANGE_WHITELIST
from cachestead.workflows.create_instance import CREATE_INSTANCE
from cachestead.workflows.delete_instance import DELETE_INSTANCE
from cachestead.workflows.flush_instance import FLUSH_INSTANCE
from cachestead.workflows.hang_up_kill_all_clients import HANG_UP_KILL_ALL_CLIENTS
from cachestead.workflows.import_backup import IMPORT_BACKUP
from cachestead.workflows.leave_domain_name import LEAVE_DOMAIN_NAME
from cachestead.workflows.move_address import MOVE_ADDRESS
from cachestead.workflows.replace_nodes import REPLACE_NODES
from cachestead.workflows.resize_instance import (
    ADD_REPLICAS,
    ADD_SHARDS,
    CHANGE_CAPACITY,
    REMOVE_REPLICAS,
    REMOVE_SHARDS,
)
from cachestead.workflows.restart_instance import RENAME_COMMANDS, RESTART_INSTANCE
from cachestead.workflows.restore_instance import RESTORE_INSTANCE
from cachestead.workflows.scan_clients import SCAN_CLIENTS
from cachestead.workflows.set_priority import SET_PRIORITY
from cachestead.workflows.switch_master import SWITCH_MASTER
from cachestead.workflows.switch_shard import SWITCH_SHARD

ALL = (
    CREATE_INSTANCE,
    DELETE_INSTANCE,
    RESTART_INSTANCE,
    RENAME_COMMANDS,
    FLUSH_INSTANCE,
    BACK_UP_INSTANCE,
    RESTORE_INSTANCE,
    IMPORT_BACKUP,
    CHANGE_PASSWORD,
    CREATE_ACCOUNT,
    CHANGE_ACCOUNT_PASSWORD,
    CHANGE_ACCOUNT_ROLE,
    DELETE_ACCOUNT,
    CHANGE_PORT,
    CHANGE_WHITELIST,
    CHANGE_PARAMETERS,
    CHANGE_SSL,
    KEEP_SSL,
    CHANGE_CAPACITY,
    ADD_REPLICAS,
    REMOVE_REPLICAS,
    ADD_SHARDS,
    REMOVE_SHARDS,
    CHANGE_TYPE,
    MOVE_ADDRESS,
    REPLACE_NODES,
    SET_PRIORITY,
    LEAVE_DOMAIN_NAME,
    SWITCH_MASTER,
    SWITCH_SHARD,
    SCAN_CLIENTS,
    HANG_UP_KILL_ALL_CLIENTS,
)
