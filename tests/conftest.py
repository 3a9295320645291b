"""Hypothesis profiles (dev, ci: repeatable, thorough: a release), and Ctrl-C.

`mutation` is for thousands of runs: few examples, always the same, nothing shrunk.
"""

import os
import signal

from hypothesis import Phase, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.register_profile(
    "mutation",
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)

# A shell that starts the tests in the background makes them ignore SIGINT, and Python
# then installs no handler. Tests that press Ctrl-C need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of pytest-xdist are told how wide a terminal is; tables are as in a pipe.
os.environ.pop("COLUMNS", None)
