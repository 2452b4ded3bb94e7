"""The FastMCP client. It opens what it takes for the system's browser; here that is our person."""

import asyncio
import importlib.metadata
import os

import flow
from fastmcp import Client
from fastmcp.client.auth import OAuth

NAME = "FastMCP client"

# `&`: FastMCP starts its callback listener only after the browser was opened.
os.environ["BROWSER"] = " ".join([*flow.PERSON, "%s", "&"])


class CountedOAuth(OAuth):
    """Counts how often a person is asked."""

    async def redirect_handler(self, authorization_url):
        flow.browser.opened()
        await super().redirect_handler(authorization_url)


async def run():
    oauth = CountedOAuth(
        client_name=NAME,
        client_metadata_url=flow.CLIENT_METADATA_URL,
        client_id=flow.CLIENT_ID,
        client_secret=flow.CLIENT_SECRET,
    )
    async with Client(os.environ["MCP_URL"], auth=oauth) as client:
        await flow.use(client, oauth.context)


asyncio.run(flow.main(NAME, importlib.metadata.version("fastmcp"), run))
