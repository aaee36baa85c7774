"""The client: records events in an application and delivers them to tallymark's intake, harming nobody."""

from tallymark.client.client import Client
from tallymark.client.context import ambient, reset_ambient, set_ambient
from tallymark.client.sinks import FanOutSink, FileSink, FilterSink, IntakeSink, LoggerSink, NoopSink, Sink
from tallymark.client.stats import SendSummary, Stats

__all__ = [
    "Client",
    "FanOutSink",
    "FileSink",
    "FilterSink",
    "IntakeSink",
    "LoggerSink",
    "NoopSink",
    "SendSummary",
    "Sink",
    "Stats",
    "ambient",
    "reset_ambient",
    "set_ambient",
]
