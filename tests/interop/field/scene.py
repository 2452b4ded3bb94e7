"""What the scenes in Python share: an authorization server beside them, and the line that says the scene is ready."""

import subprocess
import sys
import threading
from pathlib import Path

import uvicorn

HERE = Path(__file__).parent
NODE = HERE.parent.parent / "node_modules/.bin/node"


def authority(resource: str, scope: str) -> str:
    """Starts node-oidc-provider, which ends when we do, and gives its issuer."""
    program = subprocess.Popen(
        [NODE, HERE / "authority.mjs", resource, scope],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return program.stdout.readline().strip()


def serve(app, port: int, url: str) -> None:
    """Serves until whoever started the scene closes its standard input."""

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            print(f"ready {url}", flush=True)

    server = Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))

    def end():
        sys.stdin.read()
        server.should_exit = True
        server.force_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run()
