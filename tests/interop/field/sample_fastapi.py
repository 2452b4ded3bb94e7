"""A widespread shape of hand-written middleware, from a skill for coding agents, on the present FastAPI: the refusal is raised inside
HTTP middleware, where nobody turns it into an answer; a missing scope is an error in a 200."""

import sys

import jwt
from fastapi import FastAPI, HTTPException, Request

from scene import authority, serve

port = int(sys.argv[1])
resource = f"http://127.0.0.1:{port}/mcp"
SCOPE = "todo:read"
issuer = authority(resource, SCOPE)
keys = jwt.PyJWKClient(f"{issuer}/jwks")
app = FastAPI()


@app.get("/.well-known/oauth-protected-resource")
async def metadata():
    return {
        "resource": resource,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": [SCOPE],
    }


@app.middleware("http")
async def authenticate(request: Request, call_next):
    if ".well-known" in request.url.path:
        return await call_next(request)
    header = request.headers.get("authorization", "")
    refusal = HTTPException(
        status_code=401,
        detail="unauthorized",
        headers={"WWW-Authenticate": f'Bearer resource_metadata="http://127.0.0.1:{port}/.well-known/oauth-protected-resource"'},
    )
    if not header.startswith("Bearer "):
        raise refusal
    try:
        token = header.removeprefix("Bearer ")
        key = keys.get_signing_key_from_jwt(token)
        request.state.claims = jwt.decode(token, key, algorithms=["RS256"], audience=resource, issuer=issuer)
    except jwt.PyJWTError:
        raise refusal from None
    return await call_next(request)


@app.post("/mcp")
@app.post("/mcp/{rest:path}")
async def answer(request: Request):
    call = await request.json()
    claims = getattr(request.state, "claims", {})
    if call.get("method") == "tools/call" and SCOPE not in claims.get("scope", "").split():
        return {"jsonrpc": "2.0", "id": call.get("id"), "error": {"code": -32000, "message": f"missing scope {SCOPE}"}}
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "field", "version": "1.0.0"},
        },
        "tools/list": {"tools": [{"name": "greet", "description": "Says hello", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "Hello"}]},
    }
    return {"jsonrpc": "2.0", "id": call.get("id"), "result": results.get(call.get("method"), {})}


serve(app, port, resource)
