"""What is known of services by their schemas: plain data, for the processes that never load their code as for the one that does."""

from __future__ import annotations

from typing import Final

# They keep incidents of their own, and a message alone, by its key, opens and closes one: each trouble there is a message of its
# own. How each is given the key stands in `outlet_texts`.
KEEP_INCIDENTS: Final = frozenset(("pagerduty", "pagertree", "signl4", "splunk", "victorops"))

# What shows something on this machine, starts a program on it, or reads or writes its files or its log.
LOCAL: Final = frozenset(
    ("blink1", "dbus", "exec", "file", "gio", "glib", "gnome", "growl", "kde", "macosx", "memory", "qt", "rsyslog", "syslog", "vapid", "windows")
)  # fmt: skip
# Named where somebody looks for a service.
WELL_KNOWN: Final = ("mailtos", "jsons", "slack", "discord", "tgram", "workflows", "pagerduty", "ntfys")
WEBHOOKS: Final = frozenset(("json", "jsons", "form", "forms", "xml", "xmls"))
# Their topic is all that one needs to know in order to read there, and so is an app's number.
READ_BY_NAME: Final = frozenset(("ntfy", "ntfys", "lametric", "lametrics"))

# Their mails are made here, and not by a service.
MADE_HERE: Final = frozenset(("mailto", "mailtos"))
# They make a mail of it, so they get the HTML where there is some.
MAILERS: Final = MADE_HERE | frozenset(
    ("azure", "brevo", "groundmail", "mailersend", "mailgun", "o365", "postmark", "resend", "sendgrid", "sendpulse", "ses", "smtp2go", "sparkpost")
)  # fmt: skip
# They read Markdown into plain text. The first can be asked for Markdown, the others take it as their plain text.
ASKED_FOR_MARKDOWN: Final = frozenset(("discord", "guilded"))
READ_MARKDOWN: Final = frozenset(("mmost", "mmosts", "nctalk", "nctalks"))
