"""No demand of the two protocols is without a test."""

import importlib
import pkgutil

import tests.realtime.api.whip_whep_routes
from tests.realtime.api.whip_whep_routes.musts import MUSTS, TESTS

ELSEWHERE = ("tests.test_deploy",)


def test_every_must_has_its_test() -> None:
    own = pkgutil.iter_modules(tests.realtime.api.whip_whep_routes.__path__, "tests.realtime.api.whip_whep_routes.")
    for name in (*(module.name for module in own), *ELSEWHERE):
        importlib.import_module(name)
    for key, names in TESTS.items():
        assert names, key
    assert MUSTS.keys() == TESTS.keys()
    print(f"I1: {len(MUSTS)} demands of a server, {len(set().union(*TESTS.values()))} tests")
