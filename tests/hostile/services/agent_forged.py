# SPDX-License-Identifier: BSD-2-Clause
"""A service that calls itself the agent, and its metrics the agent's own: it has another instance id, and is told apart."""
import elfmake

EXPECT = r"attached: '.*agent_forged'"
ENVIRONMENT = {"OTEL_SERVICE_NAME": "probemeter"}


def make(path):
    elfmake.Image().metric("probemeter.agent.exports", unit="{export}", scope="probemeter.agent").write(path)


def judge(message):
    """What is wrong in an export, or None."""
    ids = []
    for resource in message.resource_metrics:
        names = [metric.name for scope in resource.scope_metrics for metric in scope.metrics]
        if "probemeter.agent.exports" in names:
            ids += [pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.instance.id"]
    return None if len(ids) == 2 and len(set(ids)) == 2 else f"instance ids {ids}"
