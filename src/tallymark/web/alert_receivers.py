"""Receivers added and tried, as the page and the API do it. Blocking; may be used from several threads."""

from __future__ import annotations

from dataclasses import dataclass

from tallymark.alerts.outlets import Message
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.words import is_name
from tallymark.web.services import Services


@dataclass(frozen=True, slots=True)
class Added:
    """What of a receiver's address may be shown, and what stands in its way now, '' where nothing does."""

    hint: str
    warning: str


def add_receiver(services: Services, project: str, name: str, url: str, owners: list[str], who: str) -> Added:
    """Add a receiver, or change the one of this name.

    Raises RequestRefused, also for an address that can never be told: no service's, without a part that it needs, or on the inside
    where no setting allows it. One whose host is not found now is kept, with a warning: it may come back.
    """
    if not is_name(name):
        message = f"{name[:80]!r} is no name. Use a-z, 0-9 and _, beginning with a letter."
        raise RequestRefused("invalid_request", message, at="name")
    owners = [one.strip() for one in owners if one.strip()]
    if not owners:
        raise RequestRefused("invalid_request", "Whose alerts? Give owners, or * for all.", at="owners")
    if services.definitions.find(project, "rota", name) is not None:
        message = f"{name} is a rota: an alert that names it tells whoever is on call. Choose another name."
        raise RequestRefused("invalid_request", message, at="name")
    problem = services.desk.outlets.check(url.strip())
    found = services.desk.outlets.probe(url.strip()) if not problem else None
    if found is None or found.text:
        raise RequestRefused("invalid_request", problem or (found.text if found else ""), at="url")
    hint = services.desk.outlets.hide_secrets(url.strip())
    services.desk.receivers.create(project, name, url.strip(), hint, owners, who, services.clock.now())
    return Added(hint, found.warning)


def try_receiver(services: Services, project: str, name: str) -> str:
    """Send a test message to a receiver, and note what came of it; returns '' or why it did not arrive.

    Raises RequestRefused (not_found).
    """
    found = next((one for one in services.desk.receivers.list(project) if one.name == name), None)
    if found is None:
        raise RequestRefused("not_found", f"There is no receiver {name[:80]!r}.", at="name")
    now = services.clock.now()
    key = f"test-{project}-{name}-{int(now.timestamp())}"
    message = Message(
        title=f"A test from tallymark: {project}",
        text=f"This is how alerts for {', '.join(found.owners)} will arrive. Nothing is wrong.",
        key=key, id=key, kind="test", facts={"project": project, "receiver": name},
    )  # fmt: skip
    receivers = services.desk.receivers
    try:
        error = services.desk.outlets.send(receivers.open_address(found.id, project, name), message)
    except TallymarkError as sealed:
        error = sealed.message
    receivers.note(found.id, error, services.clock.now())
    return error
