"""What one part of a configuration demands of another: that a function it names is there.

Owns these rules and their sentences; each finding says where, so that a reader of a file can be
given the line. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.iotcore.configuration.model import CoreConfiguration

Finding: TypeAlias = tuple[tuple[str | int, ...], str]
"""Where, and what is wrong there."""


def problems(configuration: CoreConfiguration) -> list[Finding]:
    """Everything that does not fit together."""
    return [
        *_twice(configuration),
        *_functions(configuration),
        *_authorizers(configuration),
        *_authorities(configuration),
    ]


def _twice(configuration: CoreConfiguration) -> Iterator[Finding]:
    named = {
        "authorizers": [each.name for each in configuration.authorizers],
        "provisioning_templates": [each.name for each in configuration.provisioning_templates],
    }
    for section, names in named.items():
        times = Counter(names)
        for index, name in enumerate(names):
            if times[name] > 1:
                yield (section, index, "name"), f"{name!r} stands there more than once"


def _functions(configuration: CoreConfiguration) -> Iterator[Finding]:
    used = [
        (("authorizers", index, "function"), each.function)
        for index, each in enumerate(configuration.authorizers)
    ]
    used += [
        (("provisioning_templates", index, "hook"), each.hook)
        for index, each in enumerate(configuration.provisioning_templates)
        if each.hook is not None
    ]
    for where, arn in used:
        if arn not in configuration.lambdas:
            yield where, f"{arn} is none of lambdas; name its function there"


def _authorizers(configuration: CoreConfiguration) -> Iterator[Finding]:
    defaults = [at for at, each in enumerate(configuration.authorizers) if each.is_default]
    for index in defaults[1:]:
        first = configuration.authorizers[defaults[0]].name
        yield ("authorizers", index, "is_default"), f"{first!r} is the default already"


def _authorities(configuration: CoreConfiguration) -> Iterator[Finding]:
    kinds = {each.name: each.type for each in configuration.provisioning_templates}
    for index, each in enumerate(configuration.certificate_authorities):
        if each.template is None:
            continue
        where = ("certificate_authorities", index, "template")
        if each.template not in kinds:
            yield where, f"{each.template!r} is none of provisioning_templates"
        elif kinds[each.template] != "JITP":
            yield where, f"{each.template!r} is no template for this; write type: JITP there"
