"""What both Python drivers share: the person, the life of a client once authorized, and the one JSON line at the end."""

import asyncio
import json
import os
import sys
import traceback
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

TESTS = Path(__file__).resolve().parent.parent
PERSON = [str(TESTS / "node_modules/.bin/node"), str(TESTS / "person.mjs")]
NARROW = "todo:read"  # what the person leaves ticked when the client is to come back for more
REVOCATION_SECONDS = 1.0  # how long a revocation may take to reach the gateway

NAPS = os.environ.get("NAPS", "").split()
CLIENT_ID = os.environ.get("CLIENT_ID")
CLIENT_SECRET = os.environ.get("CLIENT_SECRET")
CLIENT_METADATA_URL = os.environ.get("CLIENT_METADATA_URL")


class Browser:
    """Where a client sends its person: counted, narrow at first, and closed at the end."""

    def __init__(self):
        self.visits = 0
        self.steps = []
        self.result = None  # what was seen to happen before the browser was closed
        if not NAPS:
            os.environ["PERSON_SCOPES"] = NARROW

    def opened(self):
        """Called with each visit; the person ticks everything that is asked for from the second one on."""
        self.visits += 1
        if self.result:
            raise RuntimeError("the person was sent to the browser")
        if self.visits > 1:
            os.environ.pop("PERSON_SCOPES", None)


async def visit(url):
    """The person opens `url`, signs in and consents; returns the address the client is called back at."""
    person = await asyncio.create_subprocess_exec(*PERSON, url, "--print", stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(person.communicate(), 60)
    if person.returncode != 0:
        raise RuntimeError(f"the person gave up at {url.split('?')[0]}")
    return out.decode().strip()


browser = Browser()


async def use(client, context):
    """Sleeps through a day, or: calls, comes back for more scope, refreshes after a restart, revokes, and ends with the error of being refused."""
    if NAPS:
        await day(client, context)
        return
    if context.oauth_metadata is None or context.protected_resource_metadata is None:
        raise RuntimeError("nothing was discovered")
    expected = CLIENT_ID or CLIENT_METADATA_URL
    if context.client_info is None or not context.client_info.client_id:
        raise RuntimeError("there is no client id")
    if expected and context.client_info.client_id != expected:
        raise RuntimeError(f"the client id is {context.client_info.client_id}")
    if browser.visits != 1:
        raise RuntimeError(f"the person was asked {browser.visits} times")
    if not context.current_tokens.access_token or not context.current_tokens.refresh_token:
        raise RuntimeError("no access and refresh token")
    registration = "configured" if CLIENT_ID else "document" if CLIENT_METADATA_URL else "registered"
    steps = browser.steps
    steps += ["discovered", registration, "signed in", "consented", "token"]

    await client.list_tools()
    steps.append("tools/list")
    await client.call_tool("list_todos", {})
    steps.append("tools/call")

    wanted = f"written by {context.client_metadata.client_name}"
    await client.call_tool("add_todo", {"title": wanted})
    if browser.visits != 2:
        raise RuntimeError(f"the person was asked {browser.visits} times")
    steps.append("stepped up")
    listed = await client.list_tools()
    tools = getattr(listed, "tools", listed)  # the SDK answers a result, FastMCP the list in it

    await want("restart")
    granted = context.current_tokens
    context.token_expiry_time = 1.0  # long ago
    after = await client.call_tool("list_todos", {})
    renewed = context.current_tokens
    if renewed.access_token == granted.access_token or renewed.refresh_token == granted.refresh_token:
        raise RuntimeError("the tokens were not renewed")
    if browser.visits != 2:
        raise RuntimeError("the person was asked again")
    if wanted not in str(after):
        raise RuntimeError(f"the todo is not in the list: {after}")
    steps.append("refreshed after a restart")

    await asyncio.to_thread(revoke, context)
    await asyncio.sleep(REVOCATION_SECONDS)
    steps.append("revoked")
    browser.result = {"steps": steps, "tools": sorted(tool.name for tool in tools)}
    await client.call_tool("list_todos", {})
    raise RuntimeError("a revoked client was served")


async def day(client, context):
    """Sleeps as often and as long as it is told, while the clock of this machine moves, and calls a tool each time it wakes."""
    browser.steps.append("signed in")
    refreshes = 0
    for minutes in NAPS:
        await want(f"sleep {minutes}")
        before = context.current_tokens.refresh_token
        await client.call_tool("list_todos", {})
        refreshes += context.current_tokens.refresh_token != before
        if browser.visits != 1:
            raise RuntimeError(f"the person was asked again after {minutes} minutes")
        browser.steps.append(f"slept {minutes}")
    browser.steps.append(f"refreshed {refreshes}")
    browser.result = {"steps": browser.steps, "tools": []}


async def want(what):
    """Asks whoever started the driver for something, and waits until that is done."""
    print(json.dumps({"want": what}), flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    if line.strip() != "done":
        raise RuntimeError(f"no {what}: {line!r}")


def revoke(context):
    """RFC 7009. The SDK leaves it to the application."""
    client = context.client_info
    form = urlencode({"token": context.current_tokens.refresh_token, "client_id": client.client_id})
    request = Request(str(context.oauth_metadata.revocation_endpoint), form.encode())
    if client.client_secret:
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        request.add_header("Authorization", f"Basic {b64encode(pair.encode()).decode()}")
    with urlopen(request, timeout=10) as answer:
        if answer.status != 200:
            raise RuntimeError(f"revocation answered {answer.status}")


async def main(name, version, run):
    result = {"client": name, "version": version}
    try:
        await asyncio.wait_for(run(), 90)
        result |= browser.result
    except BaseException as error:  # noqa: BLE001 - whatever it was, it belongs on the result line
        if browser.result and browser.visits == 3:
            # Revoked, it would send the person to the browser: there is no other way left.
            result |= browser.result
            result["steps"].append("refused")
        else:
            traceback.print_exc()
            result["error"] = f"after {browser.steps}: {error!r}"
    print(json.dumps(result), flush=True)
    # An SDK may keep a listening stream open.
    os._exit(0 if "error" not in result else 1)


if __name__ == "__main__":
    sys.exit("a module of the drivers beside it")
