"""Finds every regular expression of ours that reads foreign text, and writes the texts on which it is slowest.

A pattern is found wherever a module holds it: in a global, in a table, in an object of ours, behind a cached function
without parameters, or as a literal in a call of `re`.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from re import _constants as kinds
from re import _parser as parser
from types import ModuleType

MOST_SAMPLES = 12
MANY = 20  # a part that may come so often is one that a long text can keep busy
_REPEATS = {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}
FUNCTIONS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
ANCHORED = {"match", "fullmatch"}  # they try one place of the text, and not every place


@dataclass(frozen=True)
class Found:
    """A pattern of ours.

    Attributes:
        where: The module and the name under which it was found.
        pattern: The pattern.
        methods: The methods that are called on it.
    """

    where: str
    pattern: re.Pattern
    methods: frozenset


def find_patterns(packages: tuple[str, ...]) -> list[Found]:
    """Return the patterns of all modules in these packages."""
    found: dict[tuple, Found] = {}
    for module in (each for package in packages for each in _modules(package)):
        source = inspect.getsource(module)
        for name, value in sorted(vars(module).items()):
            if name.startswith("__") or (callable(value) and value.__module__ != module.__name__):
                continue
            for pattern in _patterns_in(value, set()):
                each = Found(f"{module.__name__}.{name}", pattern, _methods_of(name, source))
                found.setdefault((pattern.pattern, pattern.flags), each)
        for line, pattern, method in _written_inline(ast.parse(source)):
            each = Found(f"{module.__name__}:{line}", pattern, frozenset({method}))
            found.setdefault((pattern.pattern, pattern.flags), each)
    return list(found.values())


def _modules(package: str) -> Iterator[ModuleType]:
    whole = importlib.import_module(package)
    yield whole
    for entry in pkgutil.walk_packages(getattr(whole, "__path__", ()), f"{package}."):
        yield importlib.import_module(entry.name)


def _patterns_in(value: object, seen: set) -> Iterator[re.Pattern]:
    """Yield the patterns that a value holds, at any depth."""
    if isinstance(value, re.Pattern):
        yield value
    elif id(value) not in seen and not isinstance(value, str | bytes | int | type):
        seen.add(id(value))
        for part in _parts_of(value):
            yield from _patterns_in(part, seen)


def _parts_of(value: object) -> list:
    """Return what a value holds: entries, results of a cached function, what a function has closed over, attributes."""
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if hasattr(value, "cache_info"):
        return [] if inspect.signature(value).parameters else [value()]
    if inspect.isfunction(value):
        return [cell.cell_contents for cell in value.__closure__ or ()]
    if not type(value).__module__.startswith("agentloop"):
        return []
    names = [name for kind in type(value).__mro__ for name in (*vars(kind).get("__slots__", ()), *_cached(kind))]
    return [*(getattr(value, name, None) for name in names), *getattr(value, "__dict__", {}).values()]


def _cached(kind: type) -> list[str]:
    return [name for name, made in vars(kind).items() if isinstance(made, cached_property)]


def _methods_of(name: str, source: str) -> frozenset:
    """Return the methods that a module calls on a global; "search" stands for what can't be told."""
    called = re.findall(rf"\b{name}(?:\(\))?(?:\.(\w+))?", source)
    known = {method for method in called if method in FUNCTIONS}
    return frozenset(known or {"search"})


def _written_inline(tree: ast.AST) -> Iterator[tuple[int, re.Pattern, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[ast.Constant(value=str(text)), *_]
            ) if method in FUNCTIONS:
                yield node.lineno, re.compile(text, _flags(node)), method


def _flags(call: ast.Call) -> int:
    names = [
        each.attr
        for keyword in call.keywords
        if keyword.arg == "flags"
        for each in ast.walk(keyword.value)
        if isinstance(each, ast.Attribute)
    ]
    return sum(getattr(re, name) for name in names)


# --- texts ---


def write_worst(pattern: re.Pattern) -> list[str]:
    """Return short texts that keep a pattern busiest when they come over and over.

    These are, for each of its loops, what the loop takes, alone and after what comes before the loop.
    """
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    first = "".join(text[:1] for text in _samples(tree, "")) + "".join(text[-1:] for text in _samples(tree, ""))
    found: set[str] = set()
    _walk(list(tree), "", first, found)
    return sorted(found - {""}, key=lambda each: (len(each), each))


def _walk(tree: list, before: str, first: str, found: set[str]) -> None:
    """Add what each loop of a sequence takes, with and without what comes before it."""
    for kind, value in tree:
        for inner in _inside(kind, value):
            _walk(inner, before, first, found)
        if kind in _REPEATS and value[1] >= MANY:
            samples = _samples(value[2], first)
            found.update((before, *samples, *(before + each for each in samples)))
        before = (before + _samples([(kind, value)], "")[0])[-400:]


def _inside(kind, value) -> list:
    if kind is kinds.BRANCH:
        return [list(each) for each in value[1]]
    if kind is kinds.SUBPATTERN:
        return [list(value[3])]
    if kind in {kinds.ASSERT, kinds.ASSERT_NOT}:
        return [list(value[1])]
    if kind is kinds.ATOMIC_GROUP:
        return [list(value)]
    if kind in _REPEATS:
        return [list(value[2])]
    return []


def _samples(tree, first: str) -> list[str]:
    """Return a few texts that a sequence matches: one for each choice of its parts.

    What may be any character is a plain one, and each of `first`, with which the pattern may begin anew.
    """
    texts = [""]
    for kind, value in tree:
        parts = _samples_of(kind, value, first)
        texts = [texts[0] + part for part in parts] + [text + parts[0] for text in texts[1:]]
    return texts[:MOST_SAMPLES]


def _samples_of(kind, value, first: str) -> list[str]:
    if kind is kinds.LITERAL:
        return [chr(value)]
    if kind is kinds.NOT_LITERAL:
        return [each for each in ("a", "b", *first) if each != chr(value)]
    if kind is kinds.ANY:
        return ["a", *first]
    if kind is kinds.IN:
        return _class(value, first)
    if kind is kinds.BRANCH:
        return [text for branch in value[1] for text in _samples(branch, first)[:2]]
    if kind is kinds.SUBPATTERN:
        return _samples(value[3], first)
    if kind is kinds.ATOMIC_GROUP:
        return _samples(value, first)
    if kind in _REPEATS:
        return [text * max(value[0], 1) for text in _samples(value[2], first)]
    return [""]  # anchors and assertions take nothing


_CATEGORIES = {
    kinds.CATEGORY_DIGIT: "7", kinds.CATEGORY_NOT_DIGIT: "a", kinds.CATEGORY_SPACE: " ",
    kinds.CATEGORY_NOT_SPACE: "a", kinds.CATEGORY_WORD: "a", kinds.CATEGORY_NOT_WORD: " ",
}  # fmt: skip

_SPELLED = {
    kinds.CATEGORY_DIGIT: r"\d", kinds.CATEGORY_NOT_DIGIT: r"\D", kinds.CATEGORY_SPACE: r"\s",
    kinds.CATEGORY_NOT_SPACE: r"\S", kinds.CATEGORY_WORD: r"\w", kinds.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def _class(members, first: str) -> list[str]:
    if members[0][0] is kinds.NEGATE:
        taken = re.compile("[" + "".join(_spell(each) for each in members[1:]) + "]")
        return [each for each in ("a", *first, *" \t\n7\"'<{\\-,☃") if not taken.match(each)][:MOST_SAMPLES]
    texts = []
    for kind, value in members:
        if kind is kinds.CATEGORY:
            texts.append(_CATEGORIES[value])
        else:
            texts.append(chr(value if kind is kinds.LITERAL else value[0]))
    return texts


def _spell(member) -> str:
    kind, value = member
    if kind is kinds.LITERAL:
        return re.escape(chr(value))
    if kind is kinds.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return _SPELLED[value]
