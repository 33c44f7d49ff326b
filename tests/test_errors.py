"""The catalogue of errors against the contract: each code with its status and its sentence."""

from __future__ import annotations

import json
import re

import pytest
from contract import contract_file

from cachestead import errors

GATEWAY = {"APIGW.0201", "APIGW.0301", "APIGW.0308", "APIGW.0408"}
"""Codes of the gateway in front of the public service, which the contract's table does not have."""
FROM_CLIENTS = {"DCS.4988"}
"""Codes that the table does not have, and that clients know by what the public service answers."""
ALL = errors.catalogue()
_PLACEHOLDER = re.compile(r"\{\w*\}")


def test_no_code_is_there_twice():
    codes = [error.code for error in ALL]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("error", ALL, ids=lambda error: f"{error.code} {error.__name__}")
def test_code_status_and_sentence_are_the_contract_s(error: type[errors.ServiceError]):
    table = {one["code"]: one for one in json.loads(contract_file("errors.json").read_text())}
    if error.code in GATEWAY | FROM_CLIENTS:
        assert error.code not in table
        return
    documented = table[error.code]
    assert error.status == documented["http_status"]
    assert _PLACEHOLDER.sub("{}", error().sentence) == _PLACEHOLDER.sub("{}", documented["message"])


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_data_fills_the_sentence_and_detail_stays_apart(error: type[errors.ServiceError]):
    raised = error("the detail", name="FIELD")
    assert "{" not in raised.sentence
    assert "the detail" not in raised.sentence
    assert "the detail" in str(raised)


def test_data_with_braces_does_not_reach_into_the_sentence():
    assert errors.InvalidParameter("x", name="{name}{0}").sentence == "Invalid {name}{0} parameter in the request."
