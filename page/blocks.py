"""The page: where things are on it, and what happens when something is touched."""

from __future__ import annotations

from abc import ABCMeta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import ImageData

from common.errors import InputError
from common.text import counted
from page import markup
from page.desk import Desk, Visit
from page.photos import SHOWN_BY_BROWSERS, preview

HERE = Path(__file__).parent
TITLE = "Classify a photograph"
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")  # none is fetched
KEPT = (60, 300)  # every minute, uploads that are older than five minutes are removed
VISIT_SECONDS = 3600  # after an hour of silence, a visitor's photograph and tasks are forgotten
PLACEHOLDER = "Drop a photograph here\nor click to choose one"
LIMITS = "You can also paste one. Up to 20 MB and 64 megapixels; photographs are not kept."
WAIT = "The training photographs are still being read; the nearest ones will appear with your next photograph."
SHOW_ANSWER = "() => { document.querySelector('.card.asked')?.scrollIntoView({block: 'nearest', behavior: 'smooth'}); }"
CHOOSE = """
element.addEventListener('click', event => {
    const button = event.target.closest('button[data-number]');
    if (button) trigger('click', {number: Number(button.dataset.number)});
});
"""


def as_uploaded(self: gr.Image, payload: ImageData | None) -> tuple[str, str] | None:
    """Return the path and the name of the file that was uploaded: our own reader decodes it, within limits."""
    if payload is None or payload.path is None:
        return None
    return payload.path, payload.orig_name or "The photograph"


# A gr.Image with another `preprocess`, for which Gradio takes the front end of its base. It is not a class statement,
# since Gradio would then write a stub file beside this one.
PHOTOGRAPH = ABCMeta.__new__(
    type(gr.Image), "Photograph", (gr.Image,), {"is_template": True, "preprocess": as_uploaded, "__module__": __name__}
)


def style() -> str:
    """The page's own style."""
    return (HERE / "style.css").read_text("utf-8")


def script() -> str:
    """The page's own script."""
    return (HERE / "page.js").read_text("utf-8")


def theme() -> gr.themes.Base:
    """Gradio's plainest theme with the fonts of the visitor's computer."""
    return gr.themes.Base(font=FONTS, font_mono=("ui-monospace", "monospace"), primary_hue="emerald", radius_size="md")


class Events:
    """What happens when something on the page is touched; each returns what the named parts of the page show then."""

    def __init__(self, desk: Desk):
        self.desk = desk
        self.nothing = markup.waiting(desk.classifier.tasks)  # in the place of the answers

    def uploaded(self, file: tuple[str, str] | None, visit: Visit | None) -> tuple[Any, Any, Any, Any]:
        """-> photograph, answers, nearest ones, visit."""
        visit = visit or Visit()
        if file is None:
            return self.cleared(visit)
        try:
            image = self.desk.upload(visit, *file)
        except InputError as error:
            return None, markup.problem(str(error)), "", visit
        shown = gr.skip() if file[0].lower().endswith(SHOWN_BY_BROWSERS) else preview(image)
        return shown, *self._answered(visit), visit

    def cleared(self, visit: Visit | None) -> tuple[Any, Any, Any, Any]:
        """The same, after the photograph was removed."""
        visit = visit or Visit()
        self.desk.forget(visit)
        return gr.skip(), self.nothing, "", visit

    def chosen(self, visit: Visit | None, event: gr.EventData) -> tuple[Any, Any, Any, Any]:
        """The same, for an example."""
        visit = visit or Visit()
        try:
            number = int(event.number)
        except (AttributeError, OverflowError, TypeError, ValueError):  # not sent by the page's own script
            return gr.skip(), gr.skip(), gr.skip(), visit
        try:
            image = self.desk.example(visit, number)
        except InputError as error:
            return None, markup.problem(str(error)), "", visit
        return preview(image), *self._answered(visit), visit

    def asked(self, name: str, classes: str, visit: Visit | None) -> tuple[Any, Any, Any]:
        """-> answers, remark, visit."""
        visit = visit or Visit()
        try:
            task = self.desk.ask(visit, name or "", classes or "")
        except InputError as error:
            return gr.skip(), markup.problem(str(error)), visit
        where = "will answer once you add a photograph" if visit.pixels is None else "is now the first task"
        about = self.desk.remark(visit, task)
        told = markup.remark(f"“{task}” {where}." + (f" {about}" if about else ""))
        return gr.skip() if visit.pixels is None else self._answered(visit)[0], told, visit

    def _answered(self, visit: Visit) -> tuple[str, str]:
        """-> answers, nearest ones."""
        return markup.cards(self.desk.answers(visit)), self._nearest(visit)

    def _nearest(self, visit: Visit) -> str:
        neighbours = self.desk.neighbours
        if neighbours is None:
            return markup.remark(self.desk.without)
        if not neighbours.ready:
            return markup.remark(WAIT)
        count = counted(len(neighbours.photographs), "training photograph")
        return markup.strip("Looks like these", f"The nearest of {count}.", self.desk.nearest(visit))


class Parts(NamedTuple):
    """What is on the page and can be touched, or changes."""

    photo: gr.Image
    examples: gr.HTML
    name: gr.Textbox
    classes: gr.Textbox
    button: gr.Button
    told: gr.HTML
    answers: gr.HTML
    nearest: gr.HTML


def laid_out(desk: Desk, nothing: str) -> Parts:
    """Lay out the page, with ``nothing`` in the place of the answers; within gr.Blocks."""
    html = partial(gr.HTML, apply_default_css=False)  # the style is ours
    html(markup.header(desk.about, len(desk.classifier.tasks)))
    with gr.Row(elem_id="desk"):
        with gr.Column(elem_id="left", scale=5, min_width=300):
            photo = PHOTOGRAPH(
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                show_label=False,
                buttons=[],
                placeholder=PLACEHOLDER,
                height=320,
                elem_id="photo",
                alt_text="The photograph to classify",
            )
            html(markup.remark(LIMITS))
            row = markup.strip("Or try one of these", "", desk.examples, chosen=True)
            examples = html(row, js_on_load=CHOOSE, elem_id="examples", visible=bool(row))
            with gr.Column(elem_id="ask"):
                html("<h2>Ask something else</h2>" + markup.remark("A new task, in your own words."))
                name = gr.Textbox(label="Task", placeholder="kind of herb", max_lines=1, elem_id="ask-name")
                classes = gr.Textbox(
                    label="Classes, separated by commas",
                    placeholder="basil, mint, thyme",
                    lines=1,
                    max_lines=6,
                    elem_id="ask-classes",
                )
                button = gr.Button("Ask", variant="primary", elem_id="ask-button")
                told = html("", elem_id="ask-told")
        with gr.Column(elem_id="right", scale=7, min_width=300):
            answers = html(nothing, elem_id="answers")
            nearest = html("", elem_id="nearest")
    return Parts(photo, examples, name, classes, button, told, answers, nearest)


def blocks(desk: Desk) -> gr.Blocks:
    """The page of a classifier."""
    events = Events(desk)
    once: dict[str, Any] = {
        "concurrency_limit": 1,
        "concurrency_id": "tower",
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=KEPT) as page:
        state = gr.State(None, time_to_live=VISIT_SECONDS)
        parts = laid_out(desk, events.nothing)
        everything = [parts.photo, parts.answers, parts.nearest, state]
        parts.photo.input(events.uploaded, [parts.photo, state], everything, **once)
        parts.photo.clear(events.cleared, [state], everything, **once)
        parts.examples.click(events.chosen, [state], everything, **once)
        for trigger in (parts.button.click, parts.name.submit, parts.classes.submit):
            given, shown = [parts.name, parts.classes, state], [parts.answers, parts.told, state]
            trigger(events.asked, given, shown, **once).then(None, js=SHOW_ANSWER)
    # Gradio compares paths in a request with what was uploaded only if `launch` was called, which this page is without.
    page.has_launched = True
    return page
