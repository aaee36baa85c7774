"""Where events go: sinks that compose. Each is told of encoded events in the caller's thread and never blocks it."""

from tallymark.client.sinks.direct import LoggerSink, NoopSink
from tallymark.client.sinks.fanout import FanOutSink
from tallymark.client.sinks.file import FileSink
from tallymark.client.sinks.filter import FilterSink
from tallymark.client.sinks.intake import IntakeSink
from tallymark.client.sinks.sink import Sink

__all__ = ["FanOutSink", "FileSink", "FilterSink", "IntakeSink", "LoggerSink", "NoopSink", "Sink"]
