"""Answers as HTML. Names come from users and folders, so all of them are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from common.text import NOT_SURE, counted, printable
from page.desk import Answered
from page.neighbours import Known
from page.photos import thumbnail
from prompting.tasks import Task

LISTED = 6  # classes of a task that has not answered yet


def words(text: str) -> str:
    """Text as HTML."""
    return escape(printable(text))


def percent(probability: float) -> str:
    """A probability in whole percent.

    >>> percent(0.449), percent(0.001), percent(0.999), percent(1.0)
    ('45%', '<1%', '>99%', '100%')
    """
    if 0 < probability < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= probability < 1 else f"{probability:.0%}"


def header(about: str, tasks: int) -> str:
    """The top of the page."""
    return (
        f'<header class="top"><h1>Classify a photograph</h1><p>{counted(tasks, "task")} for each photograph'
        f'<span class="about">{words(about)}</span></p></header>'
    )


def waiting(tasks: Sequence[Task]) -> str:
    """The place of the answers before there is a photograph: what will be answered."""
    listed = "".join(
        f"<li><h3>{words(task.name)}</h3><p>{words(', '.join(task.classnames[:LISTED]))}"
        f"{more(len(task.classnames) - LISTED)}</p></li>"
        for task in tasks
    )
    lead = '<p class="lead">Add a photograph, and each task names its class.</p>'
    return f'<div class="waiting">{lead}<ul>{listed}</ul></div>'


def more(count: int) -> str:
    """How many others there are."""
    return f" and {count:,} more" if count > 0 else ""


def cards(answers: Sequence[Answered]) -> str:
    """A card for every task: its best class, and a bar for each of its most probable ones."""
    return f'<div class="cards" role="list">{"".join(map(card, answers))}</div>'


def card(answer: Answered) -> str:
    """A task's answer: its best class is the largest word, or it is not sure."""
    kinds = " ".join(["card", *["asked"] * answer.asked, *["unsure"] * (not answer.sure)])
    yours = '<span class="yours">yours</span>' if answer.asked else ""
    unsure = "" if answer.sure else f'<p class="best">{NOT_SURE}</p>'
    label = f'<p class="label">Its label is {words(answer.label)}.</p>' if answer.label else ""
    rows = "".join(
        f'<li><span class="name">{words(name)}</span><span class="value">{escape(percent(p))}</span>'
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * p:.1f}%"></i></span></li>'
        for name, p in answer.ranked
    )
    return (
        f'<section class="{kinds}" role="listitem"><h3>{words(answer.task)}{yours}</h3>'
        f"{unsure}<ol>{rows}</ol>{label}</section>"
    )


def problem(text: str) -> str:
    """What is wrong, in the place of an answer."""
    return f'<p class="problem" role="alert">{words(text)}</p>'


def remark(text: str) -> str:
    """A quiet line."""
    return f'<p class="remark">{words(text)}</p>'


def strip(title: str, about: str, pictures: Sequence[Known], chosen: bool = False) -> str:
    """A row of small photographs with their classes; with ``chosen``, each is a button."""
    figures = []
    for number, (path, task, classname) in enumerate(pictures):
        address = thumbnail(path)
        if not address:
            continue
        image = f'<img src="{address}" alt="" width="88" height="88">'
        text = f'<span class="name">{words(classname)}</span><span class="of">{words(task)}</span>'
        if chosen:
            told = f'aria-label="Example {number + 1}: {words(task)}, {words(classname)}"'
            figures.append(f'<li><button type="button" data-number="{number}" {told}>{image}</button></li>')
        else:
            figures.append(f"<li>{image}{text}</li>")
    if not figures:
        return ""
    kind = "strip examples" if chosen else "strip"
    lead = f'<p class="remark">{words(about)}</p>' if about else ""
    return f'<div class="{kind}"><h2>{words(title)}</h2>{lead}<ul>{"".join(figures)}</ul></div>'
