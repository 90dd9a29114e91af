"""What a localizer knew last, in a file, so that the next one begins there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netvlad_core.errors import NetvladError
from netvlad_core.files import check_outputs, read_file, written_whole

_MARK = "netvlad_ros last place"
_MOST_BYTES = 20_000


@dataclass(frozen=True)
class LastPlace:
    """The map that was open, and where the robot was in it.

    Attributes
    ----------
    map_path, map_id : of the map.
    place : the last place with a pose, -1 without one.
    stamp : of its image, nanoseconds.
    is_reversed : whether the robot faced against the heading of the place.
    """

    map_path: str
    map_id: str
    place: int = -1
    stamp: int = 0
    is_reversed: bool = False

    @classmethod
    def read(cls, path: Path) -> LastPlace | None:
        """Read what `write` has written; None if there is no such file yet, or an empty one.

        Raises
        ------
        NetvladError
            If it is a file of somebody else, damaged, or cannot be read.
        """
        check_outputs({path: _MARK}, [])
        try:
            content = read_file(path, _MOST_BYTES)
            if not content:
                return None
            values = json.loads(content)
            stated = values.pop("sha256")
            last = cls(**{name: values[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NetvladError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise NetvladError(f"{path} is damaged ({error!r:.100}); it is not used") from error
        if stated != _checksum(values) or not last.is_possible():
            raise NetvladError(f"{path} is damaged: a value or its checksum is wrong; it is not used")
        return last

    def is_possible(self) -> bool:
        """Whether all values are of their types and ranges."""
        types = [type(value) for value in vars(self).values()]
        if types != [str, str, int, int, bool]:
            return False
        return -1 <= self.place < 2**31 and 0 <= self.stamp < 2**63

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises
        ------
        NetvladError
            If a file of somebody else is there.
        OSError
            If it cannot be written.
        """
        check_outputs({path: _MARK}, [])
        values = {"format": _MARK, **asdict(self)}
        with written_whole(path) as partial:
            partial.write_text(json.dumps({**values, "sha256": _checksum(values)}, indent=1) + "\n")


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
