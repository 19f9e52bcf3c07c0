"""Names of runs: what an encoder went through can be read off its name."""

from __future__ import annotations

import pytest

from xalign.naming import encoder_name, with_method

PAPER = {"pair": "de-en", "loss": "S1W0M0", "align_seed": 42}


@pytest.mark.parametrize(
    ("lineage", "name"),
    [
        ({}, "base"),
        (PAPER, "de-en/S1W0M0"),
        (PAPER | {"align_seed": 15, "align_step": 3000, "partial": True}, "de-en/S1W0M0-seed15-step3000"),
        (PAPER | {"method": "lora"}, "de-en/S1W0M0+lora"),
        ({"method": "codeswitch"}, "base+codeswitch"),
        ({"pair": "de-en", "loss": None, "align_seed": None, "method": "realign-before"}, "de-en+realign-before"),
    ],
)
def test_an_encoder_is_called_by_what_was_done_to_it(lineage: dict[str, object], name: str) -> None:
    assert encoder_name(lineage) == name


def test_methods_follow_each_other_in_order() -> None:
    assert with_method(with_method(PAPER, "lora"), "codeswitch")["method"] == "lora+codeswitch"
    assert "method" not in PAPER
