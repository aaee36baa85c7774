"""How pages and API ask metrics: by name, through the remembered answers, noted as used.

What is remembered holds as long as the loader has put nothing new into the store, and what took long as long again as it took.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from tallymark.errors import RequestRefused
from tallymark.ledger.report import read_cursor
from tallymark.metrics.explain import ask_explanation
from tallymark.metrics.figures import Figures, ask_metric
from tallymark.metrics.periods import Comparison, note_lengths, shift_span
from tallymark.metrics.rhythm import ask_rhythm
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds.metric import Metric, Span
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer
from tallymark.web.services import Services


class ComparedFigures(msgspec.Struct, frozen=True):
    """The figures asked for, and those of the time that they are compared with."""

    figures: Figures
    compared: Figures | None = None
    comparison: str = ""


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks for one project over one state of its definitions. Blocking; may be used from several threads."""

    services: Services
    project: str
    metrics: dict[str, Metric]
    # Of the metrics' definitions: another one after any change.
    digest: bytes
    # The position up to which events were in the store when this was opened: what is asked later is at least as new.
    data_version: int
    # Gathers what is asked, where somebody wants to know.
    asked: list[Question] | None = None

    def find(self, name: str) -> Metric:
        """Return a metric; raises RequestRefused (not_found)."""
        metric = self.metrics.get(name)
        if metric is None:
            raise RequestRefused("not_found", f"There is no metric {name[:80]!r}.", at="name")
        return metric

    def figures(self, name: str, span: Span) -> Figures:
        """Return a metric's figures; raises RequestRefused as questions do."""
        return ask_metric(self.find(name), span, self.ask, self.metrics)

    def compared(self, name: str, span: Span, comparison: Comparison | None) -> ComparedFigures:
        """Return a metric's figures, and those of the time that they are compared with."""
        figures = self.figures(name, span)
        if comparison is None:
            return ComparedFigures(figures)
        other = shift_span(span, comparison)
        lengths = note_lengths(span, other)
        figures = msgspec.structs.replace(figures, notes=[*figures.notes, *lengths])
        return ComparedFigures(figures, self.figures(name, other), comparison)

    def rhythm(self, name: str, span: Span) -> Figures:
        """Return a metric's figures by weekday and hour."""
        return ask_rhythm(self.find(name), span, self.ask, self.metrics)

    def explain(self, name: str, span: Span, comparison: Comparison, dimensions: tuple[str, ...]) -> Answer:
        """Return what a metric's change since the compared time is made of."""
        other = shift_span(span, comparison)
        answer = ask_explanation(self.find(name), span, other, dimensions, self.ask)
        return msgspec.structs.replace(answer, notes=[*answer.notes, *note_lengths(span, other)])

    def ask(self, question: Question) -> Answer:
        """Return a question's answer, remembered where it was asked before over the same data."""
        services = self.services
        if self.asked is not None and question not in self.asked:
            self.asked.append(question)
        key = (self.project, msgspec.json.encode(question), self.data_version)
        return services.answers.get(key, lambda: services.answer(question, self.project))


def open_asker(services: Services, project: str) -> Asker:
    """Read the project's metrics; blocking."""
    present = services.definitions.list(project, "metric")
    digest = hashlib.sha256("\0".join(one.body for one in present).encode()).digest()
    version = read_cursor(services.ledger) if services.ledger.exists() else 0
    return Asker(services, project, collect_objects(present)["metric"], digest, version)
