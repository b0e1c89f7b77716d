"""The ways real MCP clients come in. Each door lists tools and calls them, and gives what was on the wire, as JSON."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from daemon import Daemon

Json = dict[str, Any]

EXIT_TOOL_ERROR = 5
"""How the Inspector ends when a result says `isError`: the result is printed all the same."""


class Refused(Exception):
    """The request was answered with a JSON-RPC error."""


class Door(Protocol):
    """One client, one transport, one era, one key."""

    name: str
    follows_tasks: bool
    """The client itself waits for a call that became a task."""

    async def tools(self) -> list[Json]: ...

    async def call(self, tool: str, arguments: Json, meta: Json | None = None) -> Json: ...


class PythonDoor(AbstractAsyncContextManager["PythonDoor"]):
    """Python's `mcp` client: `auto` asks for the newest revision, `legacy` begins with `initialize`."""

    follows_tasks = False

    def __init__(self, daemon: Daemon, key: str, mode: str, stdio: bool) -> None:
        self.name = f"python {mode} {'stdio' if stdio else 'tcp'}"
        self.wanted = "2025-11-25" if mode == "legacy" else "2026-07-28"
        self._daemon, self._key, self._mode, self._stdio = daemon, key, mode, stdio

    async def __aenter__(self) -> "PythonDoor":
        async with AsyncExitStack() as stack:
            if self._stdio:
                environment = self._daemon.settings | {"TOOLCTL_KEY": self._key}
                command = StdioServerParameters(command=self._daemon.toolctl, args=["mcp"], env=environment)
                log = stack.enter_context((self._daemon.folder / "bridge.log").open("a"))
                transport = stdio_client(command, errlog=log)
            else:
                headers = {"Authorization": f"Bearer {self._key}"}
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=60))
                transport = streamable_http_client(self._daemon.url, http_client=http)
            self._client = await stack.enter_async_context(Client(transport, mode=self._mode, cache=None))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._stack.__aexit__(*raised)

    @property
    def revision(self) -> str:
        """What client and server agreed on."""
        return self._client.protocol_version

    async def tools(self) -> list[Json]:
        listed = await self._client.list_tools()
        return [wire(tool) for tool in listed.tools]

    async def call(self, tool: str, arguments: Json, meta: Json | None = None) -> Json:
        try:
            return wire(await self._client.call_tool(tool, arguments, meta=meta))
        except MCPError as error:
            raise Refused(str(error)) from error


def wire(model: Any) -> Json:
    """A message of the client's as it was on the wire."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


class InspectorDoor(AbstractAsyncContextManager["InspectorDoor"]):
    """The Inspector's command line: a process and a connection a request, set up by the file its users have."""

    def __init__(self, daemon: Daemon, key: str, era: str, stdio: bool) -> None:
        self.name = f"inspector {era} {'stdio' if stdio else 'tcp'}"
        self.follows_tasks = era == "modern"
        self._daemon, self._era = daemon, era
        if stdio:
            environment = daemon.settings | {"TOOLCTL_KEY": key}
            entry = {"type": "stdio", "command": daemon.toolctl, "args": ["mcp"], "env": environment}
        else:
            headers = {"Authorization": f"Bearer {key}"}
            entry = {"type": "streamable-http", "url": daemon.url, "headers": headers}
        self._config = daemon.folder / f"{self.name.replace(' ', '-')}.json"
        self._config.write_text(json.dumps({"mcpServers": {"toolctl": entry}}))

    async def __aexit__(self, *_: Any) -> None:
        self._config.unlink()

    async def tools(self) -> list[Json]:
        return (await self._ask("--method", "tools/list"))["tools"]

    async def call(self, tool: str, arguments: Json, meta: Json | None = None) -> Json:
        pairs = [part for name, value in (meta or {}).items() for part in ("--tool-metadata", f"{name}={value}")]
        asked = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments), *pairs]
        return await self._ask(*asked)

    async def _ask(self, *request: str) -> Json:
        # Its own folder for what it stores, so that the user's is left alone.
        environment = self._daemon.environment | {"HOME": str(self._daemon.folder), "MCP_STORAGE_DIR": str(self._daemon.folder)}
        process = await asyncio.create_subprocess_exec(
            "mcp-inspector", "--cli", "--config", str(self._config), "--server", "toolctl",
            "--protocol-era", self._era, "--format", "json", "--quiet", *request,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode not in (0, EXIT_TOOL_ERROR) or not out.strip():
            raise Refused(f"the Inspector exits {process.returncode}: {err.decode().strip()}")
        return json.loads(out)["result"]
