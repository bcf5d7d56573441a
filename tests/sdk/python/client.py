"""The official Python SDK: `client.py MCP_URL MODE`."""

import asyncio
import json
import os
import re
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import types
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from mcp.shared.exceptions import MCPError


class Memory:
    """Where the SDK keeps what it is given."""

    def __init__(self) -> None:
        self.tokens, self.client = None, None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info) -> None:
        self.client = client_info


async def open_browser(url: str) -> None:
    """Opens the person's browser and waits until they are done there."""
    browser = await asyncio.create_subprocess_exec(*json.loads(os.environ["GRANTWAY_BROWSER"]), url, stdout=asyncio.subprocess.DEVNULL)
    if await browser.wait():
        raise RuntimeError("the person is lost")


class Callback:
    """Where the browser comes back."""

    async def listen(self) -> str:
        self.came = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/callback"

    async def answer(self, reader, writer) -> None:
        target = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nDone")
        await writer.drain()
        writer.close()
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if "code" in query and not self.came.done():
            self.came.set_result(AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss")))

    async def result(self) -> AuthorizationCodeResult:
        return await self.came


async def main(mcp_url: str, mode: str) -> None:
    callback, challenge, sign_ins = Callback(), {}, []
    redirect_url = await callback.listen()

    async def redirect(url: str) -> None:
        sign_ins.append(url)
        await open_browser(url)

    async def elicit(_, params) -> types.ElicitResult:
        challenge.update(form="input_required", mode=params.mode, url=params.url)
        await open_browser(params.url)
        return types.ElicitResult(action="accept")

    metadata = OAuthClientMetadata(
        client_name="Python SDK",
        redirect_uris=[redirect_url],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(mcp_url, metadata, Memory(), redirect, callback.result)
    more = {} if mode == "plain" else {"elicitation_callback": elicit}
    http_client = httpx2.AsyncClient(auth=provider, timeout=30)
    transport = streamable_http_client(mcp_url, http_client=http_client)
    async with http_client, Client(transport, mode="legacy" if mode == "2025-11-25" else "auto", **more) as client:

        async def call(tool: str) -> dict:
            result = await client.call_tool(tool, {})
            return {"text": result.content[0].text, "isError": bool(result.is_error)}

        version = client.session.protocol_version
        tools = [tool.name for tool in (await client.list_tools()).tools]
        whoami = await call("whoami")
        try:
            files = await call("files")
        except MCPError as error:
            if error.code != types.URL_ELICITATION_REQUIRED:
                raise
            asked = error.data["elicitations"][0]
            challenge.update(form="url_elicitation", mode=asked["mode"], url=asked["url"])
            await open_browser(asked["url"])
            files = await call("files")
        if files["isError"]:
            challenge.update(form="text", url=re.search(r"http:\S+", files["text"])[0])
            await open_browser(challenge["url"])
            files = await call("files")
        await asyncio.sleep(float(os.environ["GRANTWAY_TOKEN_SECONDS"]) + 0.5)
        again = await call("whoami")
    print(json.dumps({
        "version": version, "tools": tools, "whoami": whoami, "challenge": challenge, "files": files, "again": again,
        "signIns": len(sign_ins),
    }))


asyncio.run(main(*sys.argv[1:]))
