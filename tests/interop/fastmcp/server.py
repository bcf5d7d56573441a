"""A protected MCP server and its issuer in one: FastMCP with its in-memory OAuth provider, on a loopback port.

    python server.py [access token lifetime in seconds, default 2]

Prints one line of JSON, {"issuer", "mcp", "admin"}, and ends when its standard input does. Below `admin`:
  GET  /log             what was sent to the issuer's endpoints and answered, in order
  POST /forget-clients  the issuer forgets every client that registered itself
  POST /refuse-tokens   the MCP server refuses the access tokens given out so far
"""

import asyncio
import base64
import json
import socket
import sys
from urllib.parse import parse_qsl, unquote

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.auth import ClientRegistrationOptions, RevocationOptions
from fastmcp.server.auth.providers import in_memory
from starlette.requests import Request
from starlette.responses import JSONResponse

ENDPOINTS = ("/register", "/revoke", "/token")


def main() -> None:
    # The provider takes its lifetimes from here.
    in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    scopes = ["tools:read"]
    provider = in_memory.InMemoryOAuthProvider(
        base_url=base,
        client_registration_options=ClientRegistrationOptions(enabled=True, valid_scopes=scopes, default_scopes=scopes),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=scopes,
    )
    mcp = FastMCP("interop", auth=provider)
    log: list[dict] = []

    @mcp.tool
    def whoami() -> str:
        return "whoami: somebody"

    @mcp.custom_route("/admin/log", methods=["GET"])
    async def show_log(_: Request) -> JSONResponse:
        return JSONResponse(log)

    @mcp.custom_route("/admin/forget-clients", methods=["POST"])
    async def forget_clients(_: Request) -> JSONResponse:
        forgotten = len(provider.clients)
        provider.clients.clear()
        return JSONResponse({"forgotten": forgotten})

    @mcp.custom_route("/admin/refuse-tokens", methods=["POST"])
    async def refuse_tokens(_: Request) -> JSONResponse:
        refused = len(provider.access_tokens)
        provider.access_tokens.clear()
        return JSONResponse({"refused": refused})

    app = Recorder(mcp.http_app(path="/mcp", stateless_http=True, json_response=True), log)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    print(json.dumps({"admin": f"{base}/admin", "issuer": f"{base}/", "mcp": f"{base}/mcp"}), flush=True)
    asyncio.run(serve(server, listener))


async def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    async def watch() -> None:
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True

    await asyncio.gather(server.serve(sockets=[listener]), watch())


class Recorder:
    """Notes what is sent to the issuer's endpoints and what they answer."""

    def __init__(self, app, log: list[dict]) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in ENDPOINTS:
            return await self.app(scope, receive, send)
        sent, answered, status = b"", b"", 0

        async def receiving():
            nonlocal sent
            message = await receive()
            sent += message.get("body", b"")
            return message

        async def sending(message) -> None:
            nonlocal answered, status
            status = message.get("status", status)
            answered += message.get("body", b"")
            await send(message)

        await self.app(scope, receiving, sending)
        request = json.loads(sent) if scope["path"] == "/register" else dict(parse_qsl(sent.decode()))
        authorization = dict(scope["headers"]).get(b"authorization", b"").removeprefix(b"Basic ")
        if authorization:
            request["client_id"] = unquote(base64.b64decode(authorization).decode().split(":")[0])
        self.log.append(
            {
                "path": scope["path"],
                "request": request,
                "response": json.loads(answered) if answered else None,
                "status": status,
            }
        )


if __name__ == "__main__":
    main()
