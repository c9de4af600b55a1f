"""How apps and their past look to people: tables and sentences.

Apart from the verbs so that `status`, `status --watch` and `deploy --wait` show the same. It prints
nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from traefik_bg.cli import progress
from traefik_bg.cli.screen import clean
from traefik_bg.cli.words import DIGEST_LENGTH, NONE, duration, replicas, shortened, table

if TYPE_CHECKING:
    from traefik_bg.cli.client import AppsAnswer, DeploymentAnswer, Noted
    from traefik_bg.web.view import AppView, ReplicaView, TagView, WeightView

BAR = 10  # characters
WIDE_ENOUGH = 120  # columns; with fewer the sentences would be a word a line
LAST_LINES = 12  # of a log: enough for the end of a traceback
LAST_LINES_OF_EACH = 5  # where several deployments are told of; the JSON has all that was kept

_STYLES = {
    "settled": "green",
    "rejected": "red",
    "blind": "red",
    "paused": "yellow",
    "waiting for approval": "yellow",
}
_OUTCOMES = {"succeeded": "green", "rejected": "red", "aborted": "yellow", "superseded": "yellow"}
_HEALTH = {"healthy": "green", "unhealthy": "red", "starting": "cyan"}


# --- all apps -------------------------------------------------------------------------------------


def apps_table(views: Sequence[AppView], width: int) -> RenderableType:
    """Return the table of all apps; where it is narrow, the sentences are below it."""
    columns = ("app", "phase", "version", "traffic", "replicas")
    is_wide = width >= WIDE_ENOUGH
    made = table(*columns, "what and why") if is_wide else table(*columns)
    for view in views:
        row = [
            Text(view["name"], style="bold"),
            phase(view),
            Text(version(view)),
            bar(view["weights"]),
            Text(f"{view['healthy']}/{view['wanted']}" if view["desired"] else NONE),
        ]
        made.add_row(*row, Text(sentence(view))) if is_wide else made.add_row(*row)
    if is_wide:
        return made
    below = [Text(view["name"], "bold").append(f": {sentence(view)}", "not bold") for view in views]
    return Group(made, Text(), *below)


def phase(view: AppView) -> Text:
    """Return the phase in its colour."""
    style = _STYLES.get(view["phase"], "cyan") if view["is_well"] else "red"
    return Text(view["phase"], style=style)


def sentence(view: AppView) -> str:
    """Return what is happening and why; trouble first, for then the reason is old."""
    return clean(view["trouble"] or view["reason"])


def version(view: AppView) -> str:
    """Return the image that serves, and the one on its way."""
    deployment, good = view["deployment"], view["good"]
    if deployment is None:
        return shortened(view["image"]) or NONE
    new = shortened(deployment["image"])
    if good is None or good["image"] == deployment["image"]:
        return new
    old = shortened(good["image"])
    return f"{old} → {_tag(new, old)}"


def _tag(image: str, other: str) -> str:
    """Return the tag where that is all that differs from the other image."""
    name, colon, tag = image.rpartition(":")
    return f":{tag}" if colon and other.startswith(f"{name}:") and "/" not in tag else image


def bar(weights: Sequence[WeightView]) -> Text:
    """Return the traffic as a bar: what came last is drawn lighter."""
    if not weights:
        return Text("none", style="dim")
    ordered = sorted(weights, key=lambda weight: weight["role"] == "green")
    drawn = Text()
    left = BAR
    for number, weight in enumerate(ordered):
        is_last = number == len(ordered) - 1
        length = left if is_last else min(left, round(weight["weight"] * BAR / 100))
        left -= length
        is_green = weight["role"] == "green"
        drawn.append(("▒" if is_green else "█") * length, style="green" if is_green else "blue")
    numbers = "/".join(str(weight["weight"]) for weight in ordered)
    return drawn.append(f" {numbers} %")


def service_notes(answer: AppsAnswer) -> Iterator[str]:
    """Return what is wrong with the service as a whole."""
    if answer["trouble"] is not None:
        yield f"the service does not see everything: {answer['trouble']}"
    if answer["desired_error"] is not None:
        yield f"the desired state is not in force: {answer['desired_error']}"


# --- one app --------------------------------------------------------------------------------------


def app_report(view: AppView) -> Iterator[Text | Table]:
    """Return everything about one app, part by part."""
    for_how_long = "" if view["since"] is None else f" for {duration(view['since'])}"
    head = Text(view["name"], style="bold").append(": ", style="not bold")
    yield head.append(phase(view)).append(for_how_long, style="not bold")
    yield Text(f"  {sentence(view)}")
    if view["trouble"] and view["trouble"] != view["reason"]:
        yield Text(f"  before that: {clean(view['reason'])}", style="dim")
    if view["desired_error"]:
        yield Text(f"  the desired state is not in force: {clean(view['desired_error'])}", "red")
    yield Text()
    yield from _facts(view)
    under_way = view["progress"]
    if under_way is not None and under_way["answers"]:
        yield Text()
        yield progress.answers_table(under_way)
    if view["replicas"]:
        yield Text()
        yield _replica_table(view["replicas"])
    yield from _failures(view)
    if view["advice"]:
        yield Text()
        yield Text("What to do: ", style="bold").append(view["advice"], style="not bold")


def _facts(view: AppView) -> Iterator[Table]:
    facts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column(overflow="fold")
    for name, text in _fact_rows(view):
        facts.add_row(name, text)
    yield facts


def _fact_rows(view: AppView) -> Iterator[tuple[str, Text]]:
    if (desired := view["desired"]) is None:
        yield "desired", Text("not any more")
    else:
        count = replicas(desired["replicas"])
        yield "desired", Text(f"{desired['image']} ({desired['revision']}), {count}")
    if (deployment := view["deployment"]) is not None:
        blue = f", from {deployment['blue']}" if deployment["blue"] else ""
        text = f"number {deployment['number']}: to {deployment['revision']}{blue}"
        yield "deployment", Text(text)
    yield "traffic", _traffic(view)
    if view["progress"] is not None:
        yield from progress.rows(view["progress"])
    if view["routing"]["rules"]:
        yield "routes", Text(", ".join(view["routing"]["rules"]))
    if (tag := view["tag"]) is not None:
        yield "tag", _tag_row(tag)
    if ran := [weight for weight in view["weights"] if "@" in weight["digest"]]:
        yield "digest", Text("\n".join(_exactly(weight, ran) for weight in ran))
    if (good := view["good"]) is not None:
        yield "good", Text(f"{good['image']} ({good['revision']})")
    if view["previous"]:
        back = ", ".join(f"{was['image']} ({was['revision']})" for was in view["previous"])
        yield "before it", Text(back)


def _tag_row(tag: TagView) -> Text:
    """Return what is known of a tag that is followed."""
    often = "asked when told to" if tag["poll"] is None else f"asked every {duration(tag['poll'])}"
    ago = "" if tag["asked"] is None else f", last answer {duration(tag['asked'])} ago"
    text = Text(f"{tag['image']}: {shortened('@' + tag['digest'])[1:] or NONE}; {often}{ago}")
    if tag["trouble"]:
        text.append(f"; {clean(tag['trouble'])}", style="yellow")
    return text


def _exactly(weight: WeightView, among: Sequence[WeightView]) -> str:
    """Return what exactly has traffic; which revision that is, where several have."""
    return weight["digest"] if len(among) == 1 else f"{weight['revision']} {weight['digest']}"


def _traffic(view: AppView) -> Text:
    text = bar(view["weights"])
    for weight in view["weights"]:
        text.append(f"  {weight['revision']} ({weight['role']}, {replicas(weight['replicas'])})")
    routing = view["routing"]
    if routing["refusal"]:
        return text.append(f"; Traefik refuses it: {clean(routing['refusal'])}", style="red")
    if not routing["is_published"]:
        return text
    if routing["is_confirmed"]:
        return text.append("; confirmed by Traefik")
    why = f": {clean(routing['detail'])}" if routing["detail"] else ""
    return text.append(f"; not confirmed by Traefik yet{why}", style="yellow")


def _replica_table(found: Iterable[ReplicaView]) -> Table:
    made = table("replica", "role", "state", "health", "traffic", "open", "restarts", "detail")
    for replica in found:
        exit_code = replica["exit_code"]
        is_running = replica["state"] == "running"
        details = [clean(replica["health_reason"])]
        if not is_running and exit_code is not None:
            details.insert(0, f"exit code {exit_code}")
        connections = replica["open_connections"]
        made.add_row(
            replica["name"],
            replica["role"],
            replica["state"],
            Text(replica["health"], style=_HEALTH.get(replica["health"], "")),
            "yes" if replica["is_routed"] else "no",
            NONE if connections is None else str(connections),
            str(replica["restarts"]),
            Text(", ".join(detail for detail in details if detail)),
        )
    return made


def _failures(view: AppView) -> Iterator[Text]:
    """Return the rejection, and the last words of what failed."""
    rejection = view["rejection"]
    if rejection is not None:
        image = f" ({rejection['image']})" if rejection["image"] else ""
        yield Text()
        head = Text(f"Rejected: {rejection['revision']}{image}", style="red")
        yield head.append(f": {clean(rejection['reason'])}", style="default")
        yield from log_lines(rejection["log"])
    told = rejection["log"] if rejection is not None else []
    for replica in view["replicas"]:
        if replica["log"] and replica["log"] != told:
            yield Text()
            yield Text(f"Last lines of {replica['name']}:")
            yield from log_lines(replica["log"])


def log_lines(lines: Sequence[str], most: int = LAST_LINES) -> Iterator[Text]:
    """Return the end of a log."""
    for line in lines[-most:]:
        yield Text("  │ ", style="dim").append(clean(line))


# --- the past -------------------------------------------------------------------------------------


def history_table(deployments: Iterable[DeploymentAnswer]) -> Table:
    """Return the table of an app's deployments."""
    told = list(deployments)
    digests = [past["digest"].partition("@")[2] for past in told]
    more = ("digest",) if any(digests) else ()
    made = table("#", "outcome", "version", "revision", *more, "started", "took", "why")
    for past, digest in zip(told, digests, strict=True):
        outcome = past["outcome"] or ("under way" if past["ended"] is None else "unknown")
        took = past["duration"]
        made.add_row(
            str(past["number"]),
            Text(outcome, style=_OUTCOMES.get(outcome, "cyan")),
            past["image"].partition("@")[0] or NONE,
            past["revision"],
            *([digest.removeprefix("sha256:")[:DIGEST_LENGTH] or NONE] if more else []),
            moment(past["started"] or past["ended"]),
            NONE if took is None else duration(took),
            Text(clean(_why(past, outcome))),
        )
    return made


def _why(past: DeploymentAnswer, outcome: str) -> str:
    """Return the reason without what the other columns say already."""
    reason = past["reason"]
    for said in (f"{past['revision']} is good: {past['image']} ", f"{outcome} "):
        reason = reason.removeprefix(said)
    return reason


def past_logs(deployments: Iterable[DeploymentAnswer]) -> Iterator[Text]:
    """Return the last lines of what failed, by deployment; what is gone has no other log."""
    for past in deployments:
        if past["log"]:
            yield Text()
            yield Text(f"Last lines of {past['number']}, {past['revision']}:")
            yield from log_lines(past["log"], LAST_LINES_OF_EACH)


def notes(journal: Iterable[Noted]) -> Iterator[Text]:
    """Return what else was noted of an app: commands, and what became of them."""
    for noted in journal:
        yield Text(f"{moment(noted['at'])}  ", "dim").append(clean(noted["sentence"]), "not dim")


def moment(text: str | None) -> str:
    """Return a time as the reader's clock has it."""
    if text is None:
        return NONE
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
