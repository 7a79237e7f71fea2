"""Reads YAML files that could be anybody's: of bounded size, depth and, with its aliases written out, content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from common.errors import InputError
from common.files import read_text
from common.text import one_line

LIMIT_BYTES = 2 << 20
LIMIT_NODES = 1_000_000  # values with every alias written out; 550 bytes of nested aliases can mean billions


def parse_yaml(text: str) -> Any:
    """Parse YAML with plain types alone.

    Raises:
        ValueError: it is not YAML, is nested too deeply, contains itself, or is too large with its aliases written out.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(one_line(error).replace(' in "<unicode string>"', "")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (KeyError, TypeError, AttributeError) as error:  # PyYAML's own, for a value with a wrong explicit tag
        raise ValueError(f"a value does not fit its tag ({one_line(error)})") from None


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node has, with aliases written out."""
    number = id(node)
    if number in known:
        if not known[number]:
            raise ValueError("it contains itself by an alias")
        return known[number]
    known[number], count = 0, 1
    if isinstance(node, yaml.SequenceNode):
        count += sum(_count(child, known) for child in node.value)
    elif isinstance(node, yaml.MappingNode):
        count += sum(_count(key, known) + _count(value, known) for key, value in node.value)
    if count > LIMIT_NODES:
        raise ValueError(f"it has more than {LIMIT_NODES:,} values, with its aliases written out")
    known[number] = count
    return count


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        InputError: it cannot be read or is not YAML in UTF-8; see `parse_yaml`.
    """
    try:
        return parse_yaml(read_text(path, LIMIT_BYTES))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8; save it in that encoding.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} is not readable YAML: {reason or one_line(error)}") from None
