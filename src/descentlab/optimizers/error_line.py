"""What went wrong in a reader's optimizer, model or data, or in what Keras and TensorFlow make of them, on one line."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

MOST_LETTERS = 200  # of what happened
ANSI_CODE = re.compile(r"\x1b\[[0-9;]*m")
# Keras puts the layer before an error that was raised in it, and the layer's arguments behind.
IN_LAYER = re.compile(r"Exception encountered when calling (\S+)\.\n")
ARGUMENTS = re.compile(r"\n\s*Arguments received by .*", re.DOTALL)
# Keras' advice about a layer of one's own comes before what the layer raised.
ADVICE = re.compile(r"Could not automatically infer the output shape.*Error encountered:", re.DOTALL)
# Before an error in a graph, TensorFlow puts the stack of the code that made the graph; XLA puts it behind.
STACKS = ("in user code:", "Graph execution error:")
PLACE = re.compile(r'^\s*File "([^"]+)", line (\d+).*$', re.MULTILINE)
NODE = re.compile(r"Detected at node '?([^\s']+)'? defined at")
XLA_STACK = re.compile(r"\nThe op is created at:.*", re.DOTALL)
# Devices, operations and nodes under the names that TensorFlow gave them.
NAMES = re.compile(
    r"\{\{function_node [^}]*\}\}|\[\[\{\{node .*?\}\}\]\]|(?<=\))\{\{node [^}]*\}\}|\[Op:\w+\]( name:)?|"
    r"\[_XlaMustCompile[^]]*\]"
)
NAMED_NODE = re.compile(r"\{\{node ([^}]*)\}\}")
PACKAGE, STANDARD_LIBRARY = Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))
INSTALLED = {"site-packages", "dist-packages"}
MADE_AT_RUN_TIME = ("<", "__autograph_generated_file")


def one_line(error: BaseException) -> str:
    r"""An error's type, what happened, and where: the layer, the node of a graph, and the line of the reader's own code.

    What happened is cut after 200 letters, and stands without what Keras and TensorFlow put around it: colors, the layer's
    arguments, the stack of their own code.

    Example:
        >>> text = "Exception encountered when calling Own.call().\n\nno such axis\n\nArguments received by Own.call():\n  • x=1"
        >>> one_line(ValueError(text))
        'ValueError: no such axis (in Own.call())'
    """
    kind, text = type(error).__name__, str(error)
    if isinstance(error, KeyError) and any("\n" in str(argument) for argument in error.args):
        text = str(error.args[0])  # its own text is a representation, with escaped line breaks
    text = ANSI_CODE.sub("", text)
    where = [f"in {call}" for call in IN_LAYER.findall(text)] + [f"at {node}" for node in NODE.findall(text)]
    raised_at = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    # What made the graph is nearer to the fault than what ran it.
    for places in (PLACE.findall(text), raised_at):
        if own := [f"line {line} of {Path(file).name}" for file, line in places if is_of_reader(file)]:
            where.append(own[-1])
            break
    message = what_happened(text).removeprefix(f"{kind}: ")
    if len(message) > MOST_LETTERS:
        message = f"{message[:MOST_LETTERS].rstrip()}…"
    place = f"({', '.join(where)})" if where else ""
    return " ".join(part for part in (f"{kind}:" if message else kind, message, place) if part)


def what_happened(text: str) -> str:
    """The message of an error alone, on one line."""
    text = ARGUMENTS.sub("", IN_LAYER.split(text)[-1]).strip()
    ends = [place.end() for place in PLACE.finditer(text)] if text.startswith(STACKS) else []
    if ends:  # behind the last place stand its line of code, if it is known, and an empty line
        text = text[ends[-1] :].partition("\n\n")[2] or text
    text = NAMES.sub("", XLA_STACK.sub("", ADVICE.sub("", text)))
    return " ".join(NAMED_NODE.sub(r"\1", text).split()).removesuffix(".")


def is_of_reader(file: str) -> bool:
    """Whether a file of Python code is one of the reader's: neither installed, nor ours, nor made at run time."""
    path = Path(file)
    installed = INSTALLED & set(path.parts) or path.is_relative_to(PACKAGE) or path.is_relative_to(STANDARD_LIBRARY)
    return not installed and not path.name.startswith(MADE_AT_RUN_TIME)
