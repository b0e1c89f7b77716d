"""A toolctl daemon of the script's own: temporary folders, a TCP port that is free, and the command line beside it."""

import asyncio
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

READY_WITHIN = 30.0
"""Seconds a daemon may take to say where it listens: generous, as test machines are busy."""

COMMAND_WITHIN = 60.0
"""Seconds for one command of the command line."""


class Daemon:
    """Started on entry, stopped on exit; its folders go with it."""

    def __init__(self, toolctl: str) -> None:
        self.toolctl = toolctl

    def __enter__(self) -> "Daemon":
        self._folder = tempfile.TemporaryDirectory(prefix="toolctl-mcp-")
        self.folder = Path(self._folder.name)
        # Nothing of the caller's own toolctl may leak in.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLCTL_")}
        self.settings = {
            "TOOLCTL_CONFIG_DIR": str(self.folder / "config"),
            "TOOLCTL_DATA_DIR": str(self.folder / "state"),
            "TOOLCTL_SOCKET": str(self.folder / "toolctl.sock"),
            "TOOLCTL_NO_INPUT": "1",
            "NO_COLOR": "1",
        }
        self.environment = kept | self.settings
        # A call that waits for people is answered soon: holding it is what other tests are about.
        (self.folder / "config").mkdir()
        (self.folder / "config" / "toolctl.toml").write_text('[mcp]\nhold = "1s"\n')
        self._log = self.folder / "daemon.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self.toolctl, "serve", "--listen", "127.0.0.1:0"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            self.url = self._address() + "/mcp"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=READY_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _address(self) -> str:
        """What it names on stderr once it listens there."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            said = self._log.read_text(errors="replace")
            if found := re.search(r"http://127\.0\.0\.1:\d+", said):
                return found[0]
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the daemon named no TCP address:\n{self._log.read_text(errors='replace')}")

    def run(self, *arguments: str) -> str:
        """Runs one command of the command line as the operator; gives its standard output.

        Raises when it fails, with what it said.
        """
        done = subprocess.run(
            [self.toolctl, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`toolctl {' '.join(arguments)}` exits {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def key(self, name: str, *options: str) -> str:
        """Makes an agent's key; gives the secret."""
        return json.loads(self.run("keys", "create", name, *options, "-o", "json"))["key"]

    async def asked(self, new_status: str) -> str:
        """Waits until somebody is asked to approve this very change; gives the approval's id."""
        while True:
            listed = await asyncio.to_thread(self.run, "approvals", "list", "-o", "json")
            for waiting in json.loads(listed)["approvals"]:
                call = waiting["call"]
                if call["arguments"].get("new_status") == new_status:
                    return call["approval"]["id"]
            await asyncio.sleep(0.05)
