"""The official Python SDK, driven as a host application drives it, from discovery to revocation."""

import asyncio
import importlib.metadata
import os
from urllib.parse import parse_qs, urlsplit

import flow
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

NAME = "Python SDK"
REDIRECT = "http://127.0.0.1:8977/callback"  # nobody listens: the person hands the address over


class Storage:
    def __init__(self):
        self.tokens = None
        self.client = None
        if flow.CLIENT_ID:
            self.client = OAuthClientInformationFull(
                client_id=flow.CLIENT_ID,
                client_secret=flow.CLIENT_SECRET,
                redirect_uris=[REDIRECT],
                token_endpoint_auth_method="client_secret_basic" if flow.CLIENT_SECRET else "none",
            )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def run():
    storage = Storage()
    callbacks = []

    async def redirect_handler(url):
        flow.browser.opened()
        callbacks.append(await flow.visit(url))

    async def callback_handler():
        query = {name: values[0] for name, values in parse_qs(urlsplit(callbacks[-1]).query).items()}
        return AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query["iss"])

    provider = OAuthClientProvider(
        server_url=os.environ["MCP_URL"],
        client_metadata=OAuthClientMetadata(
            client_name=NAME,
            redirect_uris=[REDIRECT],
            grant_types=["authorization_code", "refresh_token"],
            response_types=["code"],
        ),
        storage=storage,
        redirect_handler=redirect_handler,
        callback_handler=callback_handler,
        client_metadata_url=flow.CLIENT_METADATA_URL,
    )
    async with create_mcp_http_client(auth=provider) as http:
        async with Client(streamable_http_client(os.environ["MCP_URL"], http_client=http)) as client:
            await flow.use(client, provider.context)


asyncio.run(flow.main(NAME, importlib.metadata.version("mcp"), run))
