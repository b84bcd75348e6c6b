"""Run one more process in a container."""

from __future__ import annotations

import contextlib
import os
import secrets

import msgspec

from casemate.engine import attach as attaching
from casemate.engine import peers, sharing, states, systems, translate
from casemate.engine.bundle import restricted, rules
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.live import Exec, ExecConfig, Live
from casemate.engine.notstarted import EXEC, NotStarted, explained
from casemate.engine.records import Record
from casemate.engine.rooms import attach as attach_steps
from casemate.engine.terminal import resized
from casemate.engine.translate import Surroundings
from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.linux.cgroups import delegation
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.oci.runtime import ConsoleSize
from casemate.runtime.namespaces import execute as executions
from casemate.runtime.namespaces.execute import Execution
from casemate.runtime.plan import Plan, Stdio
from casemate.spec import environment
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.spec.make import process as make_process
from casemate.spec.options import Options
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Shim, Started, StepFailed
from casemate.walls.landlock import Ruleset

_KEPT = 1000
#: The exit code of an exec that was refused before there was a process.
_REFUSED = 126


def create(engine: Engine, record: Record, config: ExecConfig) -> Exec:
    """Describe an exec; it runs when it is started. Raises Conflict, InvalidArgument."""
    states.allow("exec", record, engine.status(engine.current(record)))
    if not config.cmd or not config.cmd[0]:
        raise InvalidArgument("no exec command specified")
    attaching.keys(config.detach_keys)
    live = engine.live(record.id)
    if len(live.execs) >= _KEPT:
        _forget_oldest(live)
    exec_ = Exec(secrets.token_hex(32), record.id, live.next_number(), config)
    live.execs[exec_.id] = exec_
    _keep_nursery(engine, record, live)
    shown = " ".join(config.cmd)
    detail = {**attributes(record), "execID": exec_.id}
    engine.events.publish("container", f"exec_create: {shown}", record.id, detail)
    return exec_


def find(engine: Engine, id_: str) -> Exec:
    """Return the exec with this id. Raises NotFound."""
    for live in engine.lives():
        if id_ in live.execs:
            return live.execs[id_]
    raise NotFound(f"No such exec instance: {id_[:80]}")


def check(engine: Engine, exec_: Exec) -> None:
    """Refuse before the connection leaves HTTP. Raises Conflict."""
    record = engine.records.find(exec_.container)
    if exec_.started:
        raise Conflict(f"exec instance {exec_.id} has already run")
    states.allow("exec", record, engine.status(record))


async def start(
    engine: Engine,
    exec_: Exec,
    client: int | None,
    *,
    tty: bool,
    size: tuple[int, int] | None = None,
) -> None:
    """Start the exec, its streams on the socket ``client`` if there is one (owned by the caller).

    Raises Conflict when it was started before or the container does not run, InvalidArgument for
    a user that is not there, NotStarted when the program cannot be executed.
    """
    check(engine, exec_)
    record = engine.records.find(exec_.container)
    live = engine.live(record.id)
    assert live.shim
    exec_.started = True
    if size:
        exec_.config = msgspec.structs.replace(exec_.config, console_size=size)
    shim = live.shim
    try:
        plan = _plan(engine, record, live, exec_, attached=client is not None)
        if client is not None:
            keys = attaching.keys(exec_.config.detach_keys)
            await shim.attach(exec_.number, client, _wanted(exec_.config, tty=tty), keys)
        exec_.pid = (await _started(shim, exec_, plan)).pid
    except BaseException as error:
        exec_.exit_code = error.exit_code if isinstance(error, NotStarted) else _REFUSED
        if not exec_.ended.done():
            exec_.ended.set_result(exec_.exit_code)
        raise
    finally:
        exec_.settled.set()
    shown = " ".join(exec_.config.cmd or ())
    detail = {**attributes(record), "execID": exec_.id}
    engine.events.publish("container", f"exec_start: {shown}", record.id, detail)
    engine.background(_follow(engine, record, shim, exec_))


def _wanted(config: ExecConfig, *, tty: bool) -> int:
    return attaching.flags(
        stdin=config.attach_stdin,
        stdout=config.attach_stdout,
        stderr=config.attach_stderr,
        tty=tty,
    )


async def _started(shim: Shim, exec_: Exec, plan: Plan) -> Started:
    try:
        return await shim.execute(exec_.number, plan.whole_file())
    except StepFailed as failure:
        raise explained(failure, plan, EXEC, 126) from failure
    except Gone as error:
        raise Conflict(f"container {exec_.container} is not running") from error


async def _follow(engine: Engine, record: Record, shim: Shim, exec_: Exec) -> None:
    try:
        exit_ = await shim.process(exec_.number).exited
    except Gone:
        return  # the container's own end says so
    exec_.exit_code = exit_.code
    if not exec_.ended.done():
        exec_.ended.set_result(exit_.code)
    try:
        await shim.forget(exec_.number)
    except (Gone, OSError):
        pass  # it has ended as well
    detail = {**attributes(record), "execID": exec_.id, "exitCode": str(exit_.code)}
    engine.events.publish("container", "exec_die", record.id, detail)


async def settle(engine: Engine, exec_: Exec) -> None:
    """Have what is known of ``exec_`` be what its supervisor knows.

    A client asks for the exit code when the streams end, and may be faster than the news of it.
    """
    shim = engine.live(exec_.container).shim
    if shim and exec_.started and not exec_.ended.done():
        with contextlib.suppress(Gone, OSError):
            await shim.refresh()


async def resize(engine: Engine, exec_: Exec, rows: int, columns: int) -> None:
    """Set the size of the exec's terminal. Raises Conflict."""
    if exec_.started:
        await exec_.settled.wait()
    shim = engine.live(exec_.container).shim
    if shim is None or exec_.ended.done() or not exec_.started:
        raise Conflict(f"exec instance {exec_.id} is not running")
    await resized(shim.resize(exec_.number, rows, columns), "the exec")


def _plan(engine: Engine, record: Record, live: Live, exec_: Exec, *, attached: bool) -> Plan:
    config, host = exec_.config, record.fixed.host
    options = _options(engine, record, live, config)
    profile = translate.profile_of(host, engine.machine)
    cgroup = engine.cgroup(engine.current(record).state.cgroup)
    shared = sharing.of(host, record.fixed.config)
    first_id = record.fixed.first_id
    execution = Execution(
        process=make_process(options, profile),
        namespaces=frozenset({*shared.own, *shared.peers}),
        seccomp=engine.filter(options.seccomp),
        landlock=_rules(engine, record, options) if _restricted(engine, record, config) else None,
        stdio=Stdio(
            tty=config.tty,
            stdin=config.attach_stdin and attached,
            stdin_once=True,
            log=False,
            owner=first_id + options.user.uid if first_id else 0,
        ),
    )
    part = _part(record, live, cgroup)
    return executions.plan(execution)._replace(outside=attach_steps(cgroup, part))


def _part(record: Record, live: Live, cgroup: Cgroup) -> str:
    """Return the part of its cgroup that the container's first process is in; "" without parts."""
    if live.shim is None or systems.of(record.fixed.host) is None:
        return ""
    return delegation.place_of(cgroup.path, live.shim.room_pid)


def _restricted(engine: Engine, record: Record, config: ExecConfig) -> bool:
    return not config.privileged and restricted(engine, record)


def _rules(engine: Engine, record: Record, options: Options) -> Ruleset | None:
    """Return the rules of the container itself: the exec is one more process behind its walls."""
    spec = make(options, translate.profile_of(record.fixed.host, engine.machine))
    directories = {m.source: os.path.isdir(m.source) for m in spec.mounts if m.type == "bind"}
    return rules(engine, record, spec, directories)


def _options(engine: Engine, record: Record, live: Live, config: ExecConfig) -> Options:
    """Return the container's own options, with what the exec says otherwise."""
    own = record.fixed.config
    host = record.fixed.host
    if config.privileged:
        host = msgspec.structs.replace(host, privileged=True)
    as_asked = msgspec.structs.replace(
        own, working_dir=config.working_dir or own.working_dir, tty=config.tty
    )
    fixed = msgspec.structs.replace(record.fixed, config=as_asked, host=host)
    asked = msgspec.structs.replace(record, fixed=fixed)
    identity = _identify(engine, record, live, config.user or own.user)
    surroundings = Surroundings(hostname=peers.hostname(engine, record))
    options = translate.options(asked, identity, engine.machine, surroundings=surroundings)
    size = config.console_size
    return options._replace(
        args=tuple(config.cmd or ()),
        env=environment.merged(options.env, tuple(config.env or ())),
        console_size=ConsoleSize(*size) if size else None,
    )


def _identify(engine: Engine, record: Record, live: Live, user: str) -> Identity:
    """Return who the exec runs as, by the user databases as they are now."""
    groups = tuple(record.fixed.host.group_add or ())
    assert live.shim
    # The first process cannot be another's: the supervisor has not waited for it yet.
    root = os.open(f"/proc/{live.shim.room_pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return engine.users.identify_at(root, user, groups)
    finally:
        os.close(root)


def _keep_nursery(engine: Engine, record: Record, live: Live) -> None:
    """Have the next exec born in the container's cgroups, while the client comes back for it.

    Not in a system's: it divides them, and where nobody may be then is its own affair.
    """
    if live.shim is None or systems.of(record.fixed.host):
        return
    cgroup = engine.cgroup(engine.current(record).state.cgroup)
    engine.background(_start_nursery(live.shim, Plan((), outside=attach_steps(cgroup))))


async def _start_nursery(shim: Shim, plan: Plan) -> None:
    try:
        await shim.nursery(plan.whole_file())
    except (Gone, OSError):
        pass  # without it an exec is moved into the cgroups: slower, not wrong


def _forget_oldest(live: Live) -> None:
    for id_, exec_ in list(live.execs.items()):
        if exec_.ended.done():
            del live.execs[id_]
            return
    raise Conflict(f"the container has {_KEPT} execs that have not ended")
