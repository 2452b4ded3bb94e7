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

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.visits = []

    async def redirect_handler(self, authorization_url):
        self.visits.append(authorization_url)
        await super().redirect_handler(authorization_url)


async def run():
    oauth = CountedOAuth(client_name=NAME)
    async with Client(os.environ["MCP_URL"], auth=oauth) as client:
        return await flow.use(client, oauth.context, oauth.visits)


asyncio.run(flow.main(NAME, importlib.metadata.version("fastmcp"), run))
