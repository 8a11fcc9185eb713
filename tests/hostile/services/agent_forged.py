# SPDX-License-Identifier: BSD-2-Clause
"""A service that calls itself the agent, and its metrics the agent's own."""
import elfmake

EXPECT = r"metric 'probemeter\.agent\.exports' in '.*agent_forged': another metric of this name has another kind"
ENVIRONMENT = {"OTEL_SERVICE_NAME": "probemeter"}


def make(path):
    elfmake.Image().metric("probemeter.agent.exports", kind=elfmake.GAUGE, scope="probemeter.agent").write(path)
