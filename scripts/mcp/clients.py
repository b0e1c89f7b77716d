"""Real MCP clients against a running daemon: `clients.py TOOLCTL`.

Each door (client × transport × era) lives the same story: it lists tools, reads, opens a ticket twice under one key,
asks for a change that a person then approves, and for one that a person denies. Prints one line a check.
"""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from daemon import Daemon
from doors import Door, InspectorDoor, Json, PythonDoor, Refused

KEY = "dev.toolctl/idempotency-key"
REPLAYED = "dev.toolctl/replayed"
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
DESK = {"search_customer", "create_ticket", "update_customer_status", "send_message", "get_incident_impact"}
APPROVER = "nia"
STORY_WITHIN = 180.0
"""Seconds for one door; an answer that never comes is a miss, not a hang."""


class Report:
    """Counts and prints what held and what did not."""

    def __init__(self) -> None:
        self.held = self.missed = 0

    def check(self, door: str, claim: str, holds: Any, seen: Any = None) -> None:
        """One line; what was seen is shown when the claim does not hold."""
        if holds:
            self.held += 1
            print(f"ok    {door}: {claim}", flush=True)
        else:
            self.missed += 1
            print(f"MISS  {door}: {claim}\n      saw {json.dumps(seen, default=str)}", flush=True)


def facts(result: Json) -> Json:
    """What the text of a result says; toolctl writes it as one JSON object."""
    texts = [item["text"] for item in result.get("content", []) if item.get("type") == "text"]
    try:
        told = json.loads(texts[0])
    except (IndexError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def agree(result: Json) -> bool:
    """The structured form, where there is one, says what the text says."""
    return result.get("structuredContent", facts(result)) == facts(result)


async def lists(door: Door, report: Report) -> None:
    tools = {tool["name"]: tool for tool in await door.tools()}
    report.check(door.name, "lists the desk's tools and toolctl_wait", {*DESK, "toolctl_wait"} <= tools.keys(), [*tools])
    bare = [name for name, tool in tools.items() if any(type(tool.get("annotations", {}).get(hint)) is not bool for hint in HINTS)]
    report.check(door.name, "every tool has all four annotations", not bare, bare)
    mutating = {name for name, tool in tools.items() if tool.get("annotations", {}).get("readOnlyHint") is False}
    expected = {"create_ticket", "update_customer_status", "send_message"}
    report.check(door.name, "the annotations tell readers from writers", mutating & DESK == expected, sorted(mutating))
    offering = {name for name, tool in tools.items() if "idempotency_key" in tool["inputSchema"].get("properties", {})}
    required = {name for name, tool in tools.items() if "idempotency_key" in tool["inputSchema"].get("required", [])}
    claim = "idempotency_key is offered by the tools that change things, and asked of none"
    report.check(door.name, claim, offering & DESK == expected and not required, [sorted(offering), sorted(required)])


async def reads(door: Door, report: Report) -> None:
    found = await door.call("search_customer", {"query": "acme"})
    names = [customer["name"] for customer in found.get("structuredContent", {}).get("results", [])]
    report.check(door.name, "search_customer finds ACME AB", not found.get("isError") and names == ["ACME AB"], found)
    report.check(door.name, "its structured content equals the JSON in its text", found.get("structuredContent") == facts(found), found)


async def repeats(door: Door, report: Report) -> None:
    ticket = {"customer_id": 1, "title": f"Asked by {door.name}"}
    meta = {KEY: f"ticket-{door.name.replace(' ', '-')}"}
    first = await door.call("create_ticket", ticket, meta)
    second = await door.call("create_ticket", ticket, meta)
    number = facts(first).get("ticket", {}).get("id")
    report.check(door.name, "create_ticket opens a ticket", number is not None and not first.get("isError"), first)
    report.check(door.name, "the first answer is no replay", first.get("_meta", {}).get(REPLAYED) is not True, first)
    report.check(door.name, "the same key again is a replay", second.get("_meta", {}).get(REPLAYED) is True, second)
    report.check(door.name, "of the same ticket", number is not None and facts(second).get("ticket", {}).get("id") == number, second)
    other = await door.call("create_ticket", ticket | {"title": "Something else"}, meta)
    report.check(door.name, "the same key for something else is refused", other.get("isError") is True and agree(other), other)


async def decided(door: Door, report: Report, daemon: Daemon, customer: int, verdict: str) -> Json:
    """Asks for a change of status, lets a person decide, and gives the answer the caller has in the end."""
    status = f"{verdict.capitalize()} over {door.name}"
    change = {"customer_id": customer, "new_status": status}
    asking = asyncio.create_task(door.call("update_customer_status", change))
    try:
        approval = await first_of(daemon.asked(status), asking)
        if not door.follows_tasks:
            pending = await asking
            told = facts(pending)
            report.check(door.name, f"a change waits for people (to be {verdict})", told.get("status") == "approval_pending", pending)
            report.check(door.name, "the answer is an error, names the approval, and says the same in both forms",
                         pending.get("isError") is True and told.get("approval_id") == approval and agree(pending), pending)
        verb = ["approve", approval, "--yes"] if verdict == "approved" else ["deny", approval, "--reason", "not this one"]
        await asyncio.to_thread(daemon.run, *verb, "--as", APPROVER)
        if door.follows_tasks:
            return await asking
        return await door.call("toolctl_wait", {"approval_id": approval, "wait_ms": 20_000})
    finally:
        asking.cancel()


async def first_of(asked: Coroutine[Any, Any, str], asking: "asyncio.Task[Json]") -> str:
    """The approval, once it is asked for; an answer that is not about waiting ends the search for it."""
    listed = asyncio.create_task(asked)
    try:
        await asyncio.wait({listed, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not listed.done() and facts(asking.result()).get("status") != "approval_pending":
            raise Refused(f"nobody was asked: {json.dumps(asking.result())}")
        return await listed
    finally:
        listed.cancel()


async def status_of(door: Door, name: str) -> str:
    found = await door.call("search_customer", {"query": name})
    return facts(found)["results"][0]["status"]


async def waits(door: Door, report: Report, daemon: Daemon) -> None:
    done = await decided(door, report, daemon, 2, "approved")
    wanted = f"Approved over {door.name}"
    claim = "once approved from the command line, the answer is the tool's own"
    report.check(door.name, claim, not done.get("isError") and wanted in json.dumps(facts(done)) and agree(done), done)
    now = await status_of(door, "Nordic Widgets")
    report.check(door.name, "and the change was made", now == wanted, now)

    before = await status_of(door, "Beta Logistics")
    refused = await decided(door, report, daemon, 3, "denied")
    told = facts(refused)
    claim = "once denied, the answer is an error that says so and why"
    report.check(door.name, claim, refused.get("isError") is True and told.get("status") == "rejected"
                 and "not this one" in json.dumps(told) and agree(refused), refused)
    now = await status_of(door, "Beta Logistics")
    report.check(door.name, "and nothing was changed", now == before, now)


async def stranger(door: Door, report: Report) -> None:
    """A caller whom policy lets only read."""
    name = f"{door.name} (may only read)"
    listed = {tool["name"] for tool in await door.tools()}
    report.check(name, "is not shown what it may not call", "search_customer" in listed and "create_ticket" not in listed, sorted(listed))
    try:
        answer = await door.call("create_ticket", {"customer_id": 1, "title": "Not mine to open"})
    except Refused as refused:
        report.check(name, "and cannot call it", True, str(refused))
    else:
        report.check(name, "and cannot call it", answer.get("isError") is True and "ticket" not in facts(answer), answer)


async def story(door: Door, report: Report, daemon: Daemon) -> None:
    """What every caller lives."""
    if isinstance(door, PythonDoor):
        report.check(door.name, f"speaks {door.wanted}", door.revision == door.wanted, door.revision)
    await lists(door, report)
    await reads(door, report)
    await repeats(door, report)
    await waits(door, report, daemon)


async def lived(door: Any, report: Report, chapters: Callable[[Door], Awaitable[None]]) -> None:
    """Opens a door and goes through it; whatever keeps the story from its end is a miss of its own."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(STORY_WITHIN), door:
            await chapters(door)
    except Exception as error:
        report.check(door.name, "the story comes to its end", False, causes(error))
    print(f"      {door.name}: {time.monotonic() - begun:.1f} s", flush=True)


def causes(error: BaseException) -> list[str]:
    """What went wrong, without the groups that tasks wrap it in."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return [f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"]


async def main() -> int:
    report = Report()
    with Daemon(sys.argv[1]) as daemon:
        daemon.run("keys", "create", APPROVER, "--kind", "user", "--group", "approvers", "--save")
        number = 0
        for kind, eras in ((PythonDoor, ("auto", "legacy")), (InspectorDoor, ("modern", "legacy"))):
            for stdio in (False, True):
                for era in eras:
                    number += 1
                    # One key a door: denials are counted by agent, and the log then tells who came which way.
                    key = daemon.key(f"agent-{number}", "--group", "agents")
                    await lived(kind(daemon, key, era, stdio), report, lambda door: story(door, report, daemon))
        reader = daemon.key("reader", "--greatest-effect", "readonly")
        for era in ("auto", "legacy"):
            await lived(PythonDoor(daemon, reader, era, stdio=False), report, lambda door: stranger(door, report))
    print(f"{report.held} checks held, {report.missed} missed")
    return 1 if report.missed else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except RuntimeError as error:
        sys.exit(f"mcp-clients: {error}")
