"""How the walls of a container are set, and what has set each: its profile, or an option."""

from __future__ import annotations

from typing import NamedTuple

from casemate.engine import security, sharing, translate
from casemate.engine.engine import Engine
from casemate.engine.model import HostConfig
from casemate.engine.records import Record
from casemate.engine.security import SecurityOptions
from casemate.engine.sharing import Sharing
from casemate.engine.translate import Surroundings
from casemate.linux.cgroups.values import Limits
from casemate.oci.runtime import RuntimeSpec
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.walls import profiles
from casemate.walls.profiles import Profile
from casemate.walls.resources import limits

DEFAULT = "default"


class Settings(NamedTuple):
    """What was asked, and the spec that came of it. ``profile`` is without what ``--privileged``
    takes away.

    ``landlock`` tells that it is asked for, ``landlock_here`` that this kernel has it;
    ``disabled`` that no network at all was asked for.
    """

    host: HostConfig
    profile: Profile
    sharing: Sharing
    security: SecurityOptions
    spec: RuntimeSpec
    limits: Limits
    landlock: bool
    landlock_here: bool
    disabled: bool

    def origin(self, option: str, *, given: bool) -> str:
        """Return where a wall comes from that ``option`` may move."""
        return f"option {option}" if given else f"profile {self.profile.name}"

    def system_or(self, option: str, field: str, *, given: bool) -> str:
        """Return where a wall comes from, a ``field`` of the profile that ``--system`` may move."""
        moved = getattr(self.profile, field) != getattr(profiles.named(self.host.isolation), field)
        if moved and not given:
            return "option --system"
        return self.origin(option, given=given)

    def privileged_or(self, option: str, field: str = "name", *, given: bool) -> str:
        """Return where a wall comes from that ``--privileged`` takes away; ``field`` is of the
        profile, if ``--system`` may move it.
        """
        if self.host.privileged and not given:
            return "option --privileged"
        return self.system_or(option, field, given=given)


def settings(engine: Engine, record: Record) -> Settings:
    """Return the settings of ``record``, as its start has made them."""
    host, config, machine = record.fixed.host, record.fixed.config, engine.machine
    profile = translate.profile_of(host, machine)
    # Who runs in it does not matter here: a wall is the most that any of its users may.
    options = translate.options(record, Identity(), machine, surroundings=Surroundings())
    spec = make(options, profile)
    asked = security.parse(host.security_opt)
    return Settings(
        host=host,
        profile=translate.asked_profile(host),
        sharing=sharing.of(host, config),
        security=asked,
        spec=spec,
        limits=limits(spec.linux.resources),
        landlock=profile.landlock if asked.landlock is None else asked.landlock,
        landlock_here=machine.landlock > 0,
        disabled=config.network_disabled,
    )
