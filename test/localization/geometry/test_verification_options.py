"""The setting `verification` and the options that it stands for."""

from __future__ import annotations

import pytest

from netvlad_core.localization.geometry.verification_options import VerificationOptions, in_state, state_of


@pytest.mark.parametrize("state", ["never", "auto", "always"])
def test_each_value_of_the_setting_is_that_of_the_options_it_makes(state: str) -> None:
    options = in_state(VerificationOptions(min_inliers=50), state)
    assert state_of(options) == state
    assert (options is None) == (state == "never")
    assert options is None or options.min_inliers == 50
