"""Settings: every number that a user may set is declared once, at the field of the options it belongs to.

An options dataclass declares its fields with `setting` and nested options with `group`:

    @dataclass(frozen=True)
    class LocalizerOptions:
        top_k: int = setting(10, "Matches reported for each image.", 1, 1000)
        sequence: SequenceOptions = group("sequence", SequenceOptions())
        verification: VerificationOptions | None = group(
            "geometry", VerificationOptions(), setting(False, "Compare local features.", name="verification")
        )

Their names are then `top_k`, `sequence.<field>`, `verification` and `geometry.<field>`; no ROS node and no
command declares them a second time:

    settings_of(LocalizerOptions())              # {name: Setting}, each with default, range and description
    with_settings(LocalizerOptions(), {"top_k": 5, "sequence.sharpness": 0.7})      # new options, checked
    values = read_parameters("campus.yaml", settings_of(LocalizerOptions()))        # {name: value}, checked
    parameters_text(settings_of(options))        # the YAML of these options, comments included
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeVar

import yaml

from netvlad_core.errors import SettingError
from netvlad_core.files import read_file

Options = TypeVar("Options")

MOST_SETTINGS = 2**18  # bytes of a file of settings
_MOST_ALIASES = 16

_SETTING, _GROUP = "setting", "group"
_PARAMETERS = "ros__parameters"
# Share of equal letters from which an unknown name in a file is a misspelt setting, not that of another node.
_SIMILAR = 0.75


class _Loader(yaml.SafeLoader):
    """Reads 1e-3, without a dot, as a number, as ROS does; PyYAML takes it for a text.

    It reads few aliases: those of aliases of aliases grow beyond all memory.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases = getattr(self, "aliases", 0) + 1
            if self.aliases > _MOST_ALIASES:
                raise yaml.YAMLError(f"it has more than {_MOST_ALIASES} aliases; write the values out")
        return super().compose_node(parent, index)


_EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


@dataclass(frozen=True)
class Setting:
    """One number, switch or text that a user may set.

    Attributes
    ----------
    default : value as in files: bool, int, float, str or a list of floats; its type is that of the setting.
    description : one sentence.
    low, high : bounds of a number, both included; None for no bound.
    choices : allowed values of a text.
    source : where the default comes from, the range that was tried, what breaks outside of it.
    name : name in parameter files and in ROS; empty: prefix of the group and name of the field.
    none : value in files that stands for None, in the type of the field; None if the field is never None.
    formerly : pairs of a value that older files have, and the one that it stands for.
    """

    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    source: str = ""
    name: str = ""
    none: Any = None
    formerly: tuple[tuple[Any, Any], ...] = ()

    def check(self, value: Any) -> Any:
        """The value as a file has it, a tuple as a list; raises SettingError with one sentence."""
        value = list(value) if isinstance(value, tuple) else today(value, self.formerly)
        if type(value) is int and type(self.default) is float and _is_of_ros(value):
            raise SettingError(f"{self.name} is the whole number {value}; write it as {value}.0")
        parts, defaults = ([one] if type(one) is not list else one for one in (value, self.default))
        is_same = type(value) is type(self.default) and len(parts) == len(defaults)
        if not (is_same and all(map(self._fits, parts, defaults))):
            raise SettingError(f"{self.name} is {shown(value)}; expected {self.expected}")
        return value

    def _fits(self, value: Any, default: Any) -> bool:
        if type(value) is not type(default):
            return False
        if type(value) in (int, float):
            is_sound = _is_of_ros(value) if type(value) is int else math.isfinite(value)
            is_low_enough = self.high is None or value <= self.high
            return is_sound and is_low_enough and (self.low is None or self.low <= value)
        return not self.choices or value in self.choices

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        kind = type(self.default)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        if kind is list:
            words[kind], kind = f"a list of {len(self.default)} numbers, each with a decimal point", float
        bounds = [
            f" {word} {bound if kind is int else float(bound)}"
            for word, bound in (("from", self.low), ("to", self.high))
            if bound is not None
        ]
        return words[type(self.default)] + "".join(bounds)


@dataclass(frozen=True)
class _Group:
    prefix: str
    default: Any
    switch: Setting | None
    state_of: Callable[[Any], Any]
    in_state: Callable[[Any, Any], Any]


def _is_of_ros(value: int) -> bool:
    """Whether an integer has 64 bits at most; longer ones may not even be floats."""
    return -(2**63) <= value < 2**63


def shown(value: Any) -> str:
    """A value of a file for a sentence; Python writes no integer of thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return "a number of very many digits"


def today(value: Any, formerly: tuple[tuple[Any, Any], ...]) -> Any:
    """What a value of an older file stands for, see `Setting.formerly`; any other value as it is."""
    return next((new for old, new in formerly if value is old), value)


def setting(
    default: Any, description: str, low: float | None = None, high: float | None = None, **more: Any
) -> Any:
    """A field of a frozen options dataclass that users may set; the arguments are those of `Setting`."""
    return field(default=default, metadata={_SETTING: Setting(default, description, low, high, **more)})


def _is_on(options: Any) -> Any:
    return options is not None


def _if_on(options: Any, state: Any) -> Any:
    return options if state else None


def group(
    prefix: str,
    default: Any,
    switch: Any = None,
    state_of: Callable[[Any], Any] = _is_on,
    in_state: Callable[[Any, Any], Any] = _if_on,
) -> Any:
    """A field with nested options, whose names begin with `prefix` and a dot.

    `switch` is a `setting` of its own. By default the field is None while it is false, and `default` when it
    is true. Of another kind of switch `state_of` gives the value for the options at hand, or for None, and
    `in_state` the options for a value, or None.
    """
    declared = None if switch is None else switch.metadata[_SETTING]
    chosen = default if declared is None else in_state(default, declared.default)
    group = _Group(prefix, default, declared, state_of, in_state)
    return field(default=chosen, metadata={_GROUP: group})


def settings_of(options: Any, prefix: str = "") -> dict[str, Setting]:
    """All settings of options by name, nested ones included; the defaults are the values of these options."""
    found: dict[str, Setting] = {}
    for _, name, value, declared, nested in _members(options, prefix):
        if declared:
            value = declared.none if value is None else value
            value = list(value) if isinstance(value, tuple) else value
            found[name] = replace(declared, name=name, default=value)
        elif nested:
            if nested.switch:
                found[nested.switch.name] = replace(nested.switch, default=nested.state_of(value))
            found |= settings_of(nested.default if value is None else value, nested.prefix)
    return found


def with_settings(options: Options, values: Mapping[str, Any], prefix: str = "") -> Options:
    """The same options with other values; names that are none of theirs are left to others.

    Raises
    ------
    SettingError
        If a value is of the wrong type, out of its range or none of the choices.
    """
    known, changes = settings_of(options, prefix), {}
    for field_name, name, value, declared, nested in _members(options, prefix):
        if declared and name in values:
            given = known[name].check(values[name])
            given = tuple(given) if isinstance(given, list) else given
            changes[field_name] = None if declared.none is not None and given == declared.none else given
        elif nested:
            # Checked even when switched off.
            inner = with_settings(nested.default if value is None else value, values, nested.prefix)
            if switch := nested.switch:
                state = values.get(switch.name, nested.state_of(value))
                inner = nested.in_state(inner, known[switch.name].check(state))
            changes[field_name] = inner
    return replace(options, **changes)  # type: ignore[type-var]


def _members(options: Any, prefix: str) -> Iterator[tuple[str, str, Any, Setting | None, _Group | None]]:
    """Of each field its name, that of the setting, its value, and what was declared."""
    for member in fields(options):
        declared, nested = member.metadata.get(_SETTING), member.metadata.get(_GROUP)
        name = (declared and declared.name) or f"{prefix}{'.' if prefix else ''}{member.name}"
        yield member.name, name, getattr(options, member.name), declared, nested


def read_parameters(
    path: Path | str, known: Mapping[str, Setting], node: str = "localizer"
) -> dict[str, Any]:
    """Values of the known settings in a ROS parameter file, by name.

    Sections for every node (`/**`) and for `node`, in any namespace, are read, the special one last.
    Parameters of other nodes, and those of the node alone (its map, its topics), are ignored.

    Raises
    ------
    SettingError
        If the file is no parameter file, a value is wrong, a name is nearly that of a setting, or two
        namespaces contradict each other.
    """
    written = read_file(Path(path), MOST_SETTINGS)
    try:
        content = yaml.load(written.decode(), _Loader)
        sections = [(name, list(_flat(values))) for name, values in _sections(content, "")]
    # Over odd numbers, dates, tags and nesting PyYAML raises whatever Python gives it.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise SettingError(f"{path} is no parameter file: it is not YAML ({reason})") from error
    ours = [(name, values) for name, values in sections if name.split("/")[-1] in ("**", "*", node)]
    if not ours:
        found = ", ".join(name for name, _ in sections) or "nothing of the kind"
        raise SettingError(
            f"{path} is no parameter file for {node}; expected '/**:' or '{node}:', and below it "
            f"'{_PARAMETERS}:'; found {found}"
        )
    values: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for section, content in sorted(ours, key=lambda one: one[0].split("/")[-1] == node):
        for name, value in content:
            if name not in known:
                _refuse_slip(path, name, known)
                continue
            try:
                value = known[name].check(value)
            except SettingError as error:
                raise SettingError(f"{path}: {error}") from error
            other = said_by.get(name)
            if other and other.endswith(node) and section.endswith(node) and value != values[name]:
                raise SettingError(
                    f"{path} has {name} for {other} and another one for {section}; expected the settings of "
                    "one localizer: keep one section"
                )
            values[name], said_by[name] = value, section
    return values


def parameters_text(settings: Mapping[str, Setting], title: Iterable[str] = ()) -> str:
    """A ROS parameter file with the defaults of these settings, each below its description."""
    # Names of files may hold line breaks, and bytes that are no text.
    comments = [" ".join(line.split()).encode(errors="backslashreplace").decode() for line in title]
    lines = [f"# {line}" for line in comments] + ["/**:", f"  {_PARAMETERS}:"]
    for name, declared in settings.items():
        lines += [f"    # {line}" for line in wrap(declared.description, 100)]
        value = yaml.safe_dump(declared.default, default_flow_style=True, width=math.inf)
        lines.append(f"    {name}: {value.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def _sections(content: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name of a node with its namespace, and its parameters."""
    for name, below in content.items() if isinstance(content, dict) else ():
        if name == _PARAMETERS:
            yield path, below if isinstance(below, dict) else {}
        else:
            yield from _sections(below, f"{path}/{str(name).strip('/')}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _refuse_slip(path: Path | str, name: str, known: Mapping[str, Setting]) -> None:
    """Raise SettingError for a name that can only be meant for one of the known settings."""
    last = {other.split(".")[-1]: other for other in known}
    groups = {other.split(".")[0] for other in known if "." in other}
    is_ours = name.split(".")[0] in groups
    near = last.get(name.split(".")[-1]) if is_ours else last.get(name)
    near = near or next(iter(get_close_matches(name, known, 1, 0.0 if is_ours else _SIMILAR)), None)
    if near:
        raise SettingError(
            f"{path}: there is no setting {name}; did you mean {near}? What belongs to another node must "
            "stand below that node's name"
        )
