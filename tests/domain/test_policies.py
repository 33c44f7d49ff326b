"""Policies: what is allowed, what is denied, and what is no policy at all."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachestead.domain.policies import (
    PolicyMalformed,
    Subject,
    Verdict,
    attribute_key,
    depends_on_subject,
    is_like,
    judge,
    parse_policy,
    tag_key,
)

ONE = Subject("dcs:local-1:d:instance:one", {tag_key("env"): "prod", attribute_key("g:EnterpriseProjectId"): "0"})
NOTHING_NAMED = Subject("dcs:local-1:d:instance:*")
ACTIONS = ["dcs:instance:get", "dcs:instance:list", "dcs:instance:delete", "dcs:clients:kill", "iam:users:getUser"]


def said(effect: str, action: Any, resource: Any = None, condition: Any = None, version: str = "1.1") -> Any:
    one = {"Effect": effect, "Action": action}
    if resource is not None:
        one["Resource"] = resource
    if condition is not None:
        one["Condition"] = condition
    return parse_policy({"Version": version, "Statement": [one]})


patterns = st.sampled_from([*ACTIONS, "*", "dcs:*:*", "dcs:instance:*", "*:*:get*", "DCS:Instance:GET", "*:*:*"])
policies = st.lists(
    st.builds(said, st.sampled_from(["Allow", "Deny"]), st.lists(patterns, min_size=1, max_size=3))
)


@given(policies, st.sampled_from(ACTIONS), patterns)
def test_a_denial_always_wins(others, action, denied):
    verdict = judge([*others, said("Deny", [denied])], action, ONE)

    assert verdict is Verdict.DENIED or not fnmatch.fnmatchcase(action.lower(), denied.lower())


@given(policies, st.sampled_from(ACTIONS))
def test_nothing_is_allowed_that_no_statement_allows(found, action):
    allowing = [one for policy in found for one in policy.statements if one.allows]

    if judge(found, action, ONE) is Verdict.ALLOWED:
        assert any(one.is_about(action) for one in allowing)
    assert judge([], action, ONE) is Verdict.UNSAID


@given(policies, policies, st.sampled_from(ACTIONS))
def test_the_order_of_policies_does_not_matter(some, more, action):
    assert judge([*some, *more], action, ONE) is judge([*more, *some], action, ONE)


@given(st.text("ab:*?", max_size=12), st.text("ab:", max_size=12))
def test_patterns_are_read_as_everywhere(pattern, text):
    expected = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")

    assert is_like(pattern, text) is bool(re.fullmatch(expected, text))


def test_a_pattern_of_many_stars_takes_no_longer():
    assert not is_like("*a" * 3000 + "b", "a" * 6000)


@pytest.mark.parametrize(
    ("resource", "subject", "expected"),
    [
        (["DCS:*:*:instance:one"], ONE, Verdict.ALLOWED),
        (["dcs:local-1:d:instance:o*"], ONE, Verdict.ALLOWED),
        (["dcs:*:*:instance:two", "dcs:*:*:instance:one"], ONE, Verdict.ALLOWED),
        (["dcs:*:*:instance:two"], ONE, Verdict.UNSAID),
        (["dcs:*:*:instance:ONE"], ONE, Verdict.UNSAID),
        (["dcs:*:*:instance:one"], NOTHING_NAMED, Verdict.UNSAID),
        (["dcs:*:*:instance:*"], NOTHING_NAMED, Verdict.ALLOWED),
        (["*"], NOTHING_NAMED, Verdict.ALLOWED),
    ],
)
def test_resources_narrow_a_statement(resource, subject, expected):
    assert judge([said("Allow", "dcs:*:*", resource)], "dcs:instance:get", subject) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"g:ResourceTag/env": ["prod", "test"]}}, True),
        ({"StringEquals": {"G:resourcetag/env": "prod"}}, True),
        ({"StringEquals": {"g:ResourceTag/Env": ["prod"]}}, False),
        ({"StringEquals": {"g:ResourceTag/env": ["PROD"]}}, False),
        ({"StringEqualsIgnoreCase": {"g:ResourceTag/env": ["PROD"]}}, True),
        ({"StringNotEquals": {"g:ResourceTag/env": ["prod"]}}, False),
        ({"StringNotEquals": {"g:ResourceTag/owner": ["me"]}}, True),
        ({"StringLike": {"g:ResourceTag/env": ["p*"]}}, True),
        ({"StringNotLike": {"g:ResourceTag/env": ["p*"]}}, False),
        ({"StringEquals": {"g:EnterpriseProjectId": ["0"], "g:ResourceTag/env": ["test"]}}, False),
        ({"StringEquals": {"g:EnterpriseProjectId": ["0"]}, "StringLike": {"g:ResourceTag/env": ["*"]}}, True),
    ],
)
def test_conditions_must_all_hold(condition, expected):
    found = said("Allow", "dcs:*:*", condition=condition, version="5.0")

    assert (judge([found], "dcs:instance:get", ONE) is Verdict.ALLOWED) is expected
    assert depends_on_subject([found], "dcs:instance:get")
    assert not depends_on_subject([found], "iam:users:getUser")


def document(**fields: Any) -> dict[str, Any]:
    return {"Version": "1.1", "Statement": [{"Effect": "Allow", "Action": ["dcs:*:*"]} | fields]}


@pytest.mark.parametrize(
    ("given_document", "place"),
    [
        ([], "policy"),
        ({"Statement": []}, "policy.Version"),
        ({"Version": "1.0", "Statement": []}, "policy.Version"),
        ({"Version": ["1.1"], "Statement": []}, "policy.Version"),
        ({"Version": "1.1"}, "policy.Statement"),
        ({"Version": "1.1", "Statement": []}, "policy.Statement"),
        ({"Version": "1.1", "Statement": [{}] * 9}, "policy.Statement"),
        (document() | {"Depends": [{"catalog": "BASE"}]}, "policy.Depends"),
        (document() | {"Id": "x"}, "policy.Id"),
        (document(Effect="allow"), "policy.Statement[0].Effect"),
        (document(Effect=["Allow"]), "policy.Statement[0].Effect"),
        (document(Action=[]), "policy.Statement[0].Action"),
        (document(Action=["dcs:instance"]), "policy.Statement[0].Action"),
        (document(Action=[1]), "policy.Statement[0].Action"),
        (document(Action=["dcs:inst?nce:get"]), "policy.Statement[0].Action"),
        (document(NotAction=["dcs:*:*"]), "policy.Statement[0].NotAction"),
        (document(Sid="one"), "policy.Statement[0].Sid"),
        (document(Resource=["instance"]), "policy.Statement[0].Resource"),
        (document(Condition={"DateLess": {"g:CurrentTime": ["x"]}}), "policy.Statement[0].Condition"),
        (
            document(Condition={"StringEquals": {"g:MFAPresent": ["x"]}}),
            "policy.Statement[0].Condition.StringEquals",
        ),
        (document(Condition={"StringEquals": {"g:UserName": [1]}}), "policy.Statement[0].Condition.StringEquals"),
        (document(Action=["dcs:instance:" + "x" * 60] * 100), "policy: more than 6144"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_place(given_document, place):
    with pytest.raises(PolicyMalformed, match=f"^{re.escape(place)}"):
        parse_policy(given_document)


def test_the_newer_version_names_its_statements():
    assert parse_policy(document(Sid="one", Action="dcs:inst?nce:get") | {"Version": "5.0"})
