"""What both Python drivers share: the person, the calls once authorized, and the one JSON line at the end."""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PERSON = [str(TESTS / "node_modules/.bin/node"), str(TESTS / "person.mjs")]


async def visit(url):
    """The person opens `url`, signs in and consents; returns the address the client is called back at."""
    person = await asyncio.create_subprocess_exec(*PERSON, url, "--print", stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(person.communicate(), 60)
    if person.returncode != 0:
        raise RuntimeError(f"the person gave up at {url.split('?')[0]}")
    return out.decode().strip()


async def use(client, context, visits):
    """Calls with a fresh token, forces the refresh that expiry would, and calls again."""
    if context.oauth_metadata is None or context.protected_resource_metadata is None:
        raise RuntimeError("nothing was discovered")
    if context.client_info is None or not context.client_info.client_id:
        raise RuntimeError("no client was registered")
    if len(visits) != 1:
        raise RuntimeError(f"the person was asked {len(visits)} times")
    granted = context.current_tokens
    if not granted.access_token or not granted.refresh_token:
        raise RuntimeError("no access and refresh token")
    steps = ["discovered", "registered", "signed in", "consented", "token"]

    listed = await client.list_tools()
    tools = getattr(listed, "tools", listed)  # the SDK answers a result, FastMCP the list in it
    steps.append("tools/list")

    add = next(tool for tool in tools if tool.name == "add_todo")
    schema = getattr(add, "input_schema", None) or add.inputSchema
    text = (schema.get("required") or list(schema["properties"]))[0]
    wanted = f"written by {context.client_metadata.client_name}"
    await client.call_tool("add_todo", {text: wanted})
    steps.append("tools/call")

    context.token_expiry_time = 1.0  # long ago
    after = await client.call_tool("list_todos", {})
    renewed = context.current_tokens
    if renewed.access_token == granted.access_token or renewed.refresh_token == granted.refresh_token:
        raise RuntimeError("the tokens were not renewed")
    if len(visits) != 1:
        raise RuntimeError("the person was asked again")
    steps.append("refreshed")
    if wanted not in str(after):
        raise RuntimeError(f"the todo is not in the list: {after}")
    steps.append("call after refresh")
    return {"steps": steps, "tools": sorted(tool.name for tool in tools)}


async def main(name, version, run):
    result = {"client": name, "version": version}
    try:
        result |= await asyncio.wait_for(run(), 90)
    except BaseException as error:  # noqa: BLE001 - whatever it was, it belongs on the result line
        traceback.print_exc()
        result["error"] = repr(error)
    print(json.dumps(result), flush=True)
    # An SDK may keep a listening stream open.
    os._exit(0 if "error" not in result else 1)


if __name__ == "__main__":
    sys.exit("a module of the drivers beside it")
