"""FastMCP with RemoteAuthProvider and JWTVerifier, as its documentation shows, in front of one tool. Somebody else issues the tokens."""

import sys

from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier
from pydantic import AnyHttpUrl

from scene import authority, serve

port = int(sys.argv[1])
origin = f"http://127.0.0.1:{port}"
resource = f"{origin}/mcp"
issuer = authority(resource, "mcp:read")

verifier = JWTVerifier(jwks_uri=f"{issuer}/jwks", issuer=issuer, audience=resource, required_scopes=["mcp:read"])
auth = RemoteAuthProvider(token_verifier=verifier, authorization_servers=[AnyHttpUrl(issuer)], base_url=origin)
mcp = FastMCP(name="field", auth=auth)


@mcp.tool
def greet() -> str:
    """Says hello"""
    return "Hello"


serve(mcp.http_app(path="/mcp"), port, resource)
