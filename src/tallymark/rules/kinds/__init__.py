"""The privacy rules, one file each. Adding one is a file here and a line in `KINDS`.

Tokens go before addresses: a token may hold what looks like one. Agents go first: the rest then has less to read.
"""

from __future__ import annotations

from tallymark.rules.kinds import card, email, ip_address, url_token, user_agent
from tallymark.rules.rule import Rule

KINDS: tuple[Rule, ...] = (user_agent.RULE, url_token.RULE, email.RULE, card.RULE, ip_address.RULE)
