"""Is everything declared that consumers use of the channel layer?"""

from __future__ import annotations

from collections.abc import Iterator

from intelli_checks import Finding, Stage, check, fail
from intelli_checks.families.declared import listed, of_channels
from intelli_checks.probes.survey import Survey


@check("channels.alias", stage=Stage.STATIC, needs=["channels.layer"])
@of_channels
def alias(survey: Survey) -> Iterator[Finding]:
    """Consumers use channel layers that are declared.

    `self.channel_layer` is None where CHANNEL_LAYERS lacks the consumer's `channel_layer_alias` ("default" where the
    consumer names none). Shows as: 500 at the handshake, 'NoneType' object has no attribute 'group_add'.
    Fix: declare the layer under that name, or correct the alias. Example: CHANNEL_LAYERS = {"chat": ...} alone.
    """
    declared = {one.alias for one in survey.layers}
    users: dict[str, list[str]] = {}
    for route in survey.websocket_routes:
        name = str(route.get("layer") or "default")
        if route.get("uses_layer") and name not in declared:
            users.setdefault(name, []).append(str(route["consumer"]))
    for name, consumers in users.items():
        yield fail(
            f"{listed(consumers)} uses channel layer {name}, which CHANNEL_LAYERS does not declare "
            f"({listed(sorted(declared)) or 'none'}): it is None there, and every call of it raises",
            hint=f'CHANNEL_LAYERS = {{"{name}": {{"BACKEND": "channels_redis.core.RedisChannelLayer", ...}}}}',
            subject=name,
        )
