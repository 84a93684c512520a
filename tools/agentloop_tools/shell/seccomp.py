"""Makes the filter of system calls for a command: a program for the kernel's seccomp, from tables of rules.

A filter sees the numbers of a call, and no memory: so it tells sockets apart, and cannot tell paths apart. It refuses
what neither namespaces nor Landlock confine.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_EPERM, _ENOSYS = 1, 38
_ALLOW, _REFUSE, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
# Instructions: load a word of the call, jump if it equals, `and` it, return.
_LOAD, _JUMP_IF, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000  # marks the calls of a third interface of x86_64, which has other numbers

_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM = 1, 2
_KIND = 0xF  # the rest of a socket's type are flags
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_NEW_NAMESPACES = 0x7E020080
_SET_FLAGS, _SET_ATTRIBUTES = 0x40086602, 0x401C5820
_SET_DUMPABLE, _SET_LEASE = 4, 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of processor: its number in the kernel, and which of the two numbers of a system call are its own."""

    audit: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}

# The number of each system call on x86_64 and on aarch64, or None where there is no such call. From 424 on they agree.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chown": (92, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "futimesat": (261, None),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
}

# What programs need for no ordinary work, and what has let them out of a sandbox before.
_DANGEROUS = (
    *("acct", "add_key", "bpf", "delete_module", "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen"),
    *("fspick", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp", "kexec_file_load"),
    *("kexec_load", "keyctl", "memfd_secret", "mount", "mount_setattr", "move_mount", "msgget", "name_to_handle_at"),
    *("open_by_handle_at", "open_tree", "open_tree_attr", "perf_event_open", "personality", "pidfd_getfd"),
    *("pivot_root", "process_madvise", "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace"),
    *("quotactl", "quotactl_fd", "request_key", "semget", "setns", "shmget", "syslog", "umount2", "unshare"),
    "userfaultfd",
)
# The threads of sandlock that carry out calls for a command need these, and refuse them to the command themselves.
_OF_SANDLOCK = {"pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"}
# Landlock does not confine these. They take a path, or the descriptor of a file that was opened for reading alone.
_OF_ANY_FILE = (
    *("chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "file_setattr", "fremovexattr"),
    *("fsetxattr", "futimesat", "inotify_add_watch", "lchown", "lremovexattr", "lsetxattr", "removexattr"),
    *("removexattrat", "setxattr", "setxattrat", "utime", "utimes"),
)
# Landlock does not confine these either: the argument with this number names another process, unless it is 0.
_OF_ANY_PROCESS = (
    *((call, 0) for call in ("migrate_pages", "move_pages", "prlimit64", "sched_setaffinity", "sched_setattr")),
    *(("sched_setparam", 0), ("sched_setscheduler", 0), ("ioprio_set", 1), ("setpriority", 1)),
)


@dataclass(frozen=True, slots=True)
class Test:
    """Whether one half of an argument of a call, after `and` with the mask, is one of the values."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    half: int = 0  # 1 is the high half


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a call: the first rule of it whose tests are all true decides. Without one, it is allowed."""

    call: str
    tests: tuple[Test, ...] = ()
    error: int = _EPERM  # 0 allows the call


def make_filter(*, network: bool, namespaces: bool, write: bool) -> bytes:
    """Return the program for this machine's processor.

    Args:
        network: Whether the command may use the network.
        namespaces: Whether it has namespaces of its own, so that it reaches no other process, file or network.
        write: Whether it may write in its folder.

    Raises:
        KeyError: there are no numbers for this processor.
    """
    machine = MACHINES[platform.machine()]
    rules = [*_rules_for_all(), *_sockets(network=network)]
    if not namespaces:
        rules = [rule for rule in rules if rule.call not in _OF_SANDLOCK]
        rules += _rules_without_namespaces(write=write)
    return assemble(rules, machine)


def _rules_for_all() -> Iterator[Rule]:
    yield from (Rule(call) for call in _DANGEROUS)
    yield from (Rule("clone", (Test(0, (bit,), bit),)) for bit in _bits(_NEW_NAMESPACES))
    yield Rule("clone3", error=_ENOSYS)  # its flags are in memory; a program then calls clone
    yield Rule("fcntl", (Test(1, (_SET_LEASE,)),))  # it makes others wait who want to write a file
    yield Rule("prctl", (Test(0, (_SET_DUMPABLE,)), Test(1, (0,))))  # the supervisor could not see its open files


def _sockets(*, network: bool) -> Iterator[Rule]:
    """Allow the common kinds of sockets, and refuse all others."""
    yield Rule("socketpair", (Test(0, (_UNIX,)),), error=0)
    yield Rule("socketpair")
    yield Rule("socket", (Test(0, (_UNIX,)),), error=0)
    if network:
        families = Test(0, (_INET, _INET6))
        for kind, protocols in ((_STREAM, (0, _TCP)), (_DATAGRAM, (0, _UDP, _ICMP, _ICMP6))):
            yield Rule("socket", (families, Test(1, (kind,), _KIND), Test(2, protocols)), error=0)
        # The address lookup of the C library asks the kernel which addresses this machine has.
        yield Rule("socket", (Test(0, (_NETLINK,)), Test(2, (0,))), error=0)
    yield Rule("socket")


def _rules_without_namespaces(*, write: bool) -> Iterator[Rule]:
    yield from (Rule(call) for call in _OF_ANY_FILE)
    yield Rule("ioctl", (Test(1, (_SET_FLAGS, _SET_ATTRIBUTES)),))
    for call, argument in _OF_ANY_PROCESS:
        yield Rule(call, (Test(argument, (0,)),), error=0)
        yield Rule(call)
    if write:  # `touch` sets the times of an open file to now
        no_path_and_no_times = tuple(Test(argument, (0,), half=half) for argument in (1, 2) for half in (0, 1))
        yield Rule("utimensat", no_path_and_no_times, error=0)
    yield Rule("utimensat")


def _bits(word: int) -> Iterator[int]:
    return (1 << bit for bit in range(32) if word >> bit & 1)


def assemble(rules: Iterable[Rule], machine: Machine) -> bytes:
    """Return the program of some rules: 8 bytes for each instruction, as `struct sock_filter` has them."""
    program = [_load(_ARCHITECTURE), *_unless(machine.audit, [_return(_KILL_PROCESS)])]
    program += [_load(_NUMBER), _instruct(_AND, _X32), *_unless(0, [_return(_REFUSE | _ENOSYS)])]
    for rule in rules:
        number = NUMBERS[rule.call][machine.column]
        if number is not None:
            program += [_load(_NUMBER), *_if_one_of((number,), _translate(rule))]
    program.append(_return(_ALLOW))
    return b"".join(program)


def _translate(rule: Rule) -> list[bytes]:
    body = [_return(_REFUSE | rule.error if rule.error else _ALLOW)]
    for test in reversed(rule.tests):
        body = [
            _load(_ARGUMENTS + 8 * test.argument + 4 * test.half),
            _instruct(_AND, test.mask),
            *_if_one_of(test.values, body),
        ]
    return body


def _if_one_of(values: tuple[int, ...], body: list[bytes]) -> list[bytes]:
    """Run the body if the loaded word is one of the values, else go on after it."""
    last = len(values) - 1
    return [
        _instruct(_JUMP_IF, value, last - at, len(body) if at == last else 0) for at, value in enumerate(values)
    ] + body


def _unless(value: int, body: list[bytes]) -> list[bytes]:
    return [_instruct(_JUMP_IF, value, len(body), 0), *body]


def _load(offset: int) -> bytes:
    return _instruct(_LOAD, offset)


def _return(verdict: int) -> bytes:
    return _instruct(_RETURN, verdict)


def _instruct(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)
