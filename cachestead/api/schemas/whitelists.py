"""Bodies of the whitelist operations of chapter 4.11, Network Security."""

from __future__ import annotations

from pydantic import BaseModel, StrictBool

from cachestead.api.bodies import RequestBody
from cachestead.domain.instances import Instance
from cachestead.domain.whitelists import MOST_ADDRESSES, Whitelist, WhitelistGroup, check_whitelist


class WhitelistGroupBody(BaseModel):
    """A group, in requests and answers."""

    group_name: str
    ip_list: list[str]


class ChangeWhitelist(RequestBody):
    """Body of update_ip_whitelist and update_ip_whitelist_async."""

    instance_id: str | None = None
    """Not looked at: the path names the instance."""
    enable_whitelist: StrictBool
    whitelist: list[WhitelistGroupBody]

    def to_whitelist(self) -> Whitelist:
        """The whitelist; raises `InvalidParameter`, naming the field."""
        groups = (WhitelistGroup(one.group_name, tuple(one.ip_list)) for one in self.whitelist)
        return check_whitelist(Whitelist(self.enable_whitelist, tuple(groups)))


class WhitelistOut(BaseModel):
    """Answer of show_ip_whitelist."""

    instance_id: str
    enable_whitelist: bool
    whitelist: list[WhitelistGroupBody]
    whitelist_ip_limit_num: str = str(MOST_ADDRESSES)
    """Text, as its table says; the example shows a number."""

    @classmethod
    def of(cls, instance: Instance) -> WhitelistOut:
        """The whitelist on record, as it was written."""
        groups = instance.whitelist.groups
        return cls(
            instance_id=instance.id,
            enable_whitelist=instance.whitelist.enabled,
            whitelist=[WhitelistGroupBody(group_name=one.name, ip_list=list(one.addresses)) for one in groups],
        )


class WhitelistJobOut(BaseModel):
    """Answer of update_ip_whitelist_async."""

    job_id: str
