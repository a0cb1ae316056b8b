"""Connections out: paced, few per host, timed, bounded, stoppable. Addresses only; nothing is ever resolved."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from cityguard.checks.facts import Certificate, Host, Port, Ssh, Tls
from cityguard.config import ScanSettings
from cityguard.errors import DecodeError
from cityguard.model import Text
from cityguard.scan import ssh as scan_ssh
from cityguard.scan import tls as scan_tls

BANNER_WAIT_S = 1.0
MAX_BANNER = 256
HOSTS_AT_ONCE = 16
STOP_WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """One address with the TCP ports to ask."""

    address: str
    asset: str
    ports: tuple[int, ...]


Judge = Callable[[Job], Text | None]
"""Why nothing may be sent to this address now; None when it may."""


class _ForbiddenError(Exception):
    """The register forbids the address since."""

    def __init__(self, why: Text) -> None:
        super().__init__(why.en)
        self.why = why


def survey(
    jobs: Sequence[Job], limits: ScanSettings, judge: Judge, stop: threading.Event | None = None
) -> dict[str, Host]:
    """Probe every job and return what was found, by address. Blocks; call it from a thread, not from a loop.

    Args:
        judge: asked just before every single connection; once it says why not, that address gets no more packets and
            is ``refused``.
        stop: set it from anywhere and all probes end within a second; what was not finished is ``failed``.
    """
    return asyncio.run(_Survey(limits, judge).run(jobs, stop or threading.Event()))


class _Survey:
    """One run: the pace is shared by all hosts."""

    def __init__(self, limits: ScanSettings, judge: Judge) -> None:
        self._limits = limits
        self._judge = judge
        self._gap = 1.0 / limits.rate_per_s
        self._next = 0.0

    async def run(self, jobs: Sequence[Job], stop: threading.Event) -> dict[str, Host]:
        room = asyncio.Semaphore(HOSTS_AT_ONCE)
        found: dict[str, Host] = {}

        async def one(job: Job) -> None:
            async with room:
                found[job.address] = await self._host(job)

        tasks = [asyncio.create_task(one(job)) for job in jobs]
        try:
            while not stop.is_set() and (open_ := [task for task in tasks if not task.done()]):
                await asyncio.wait(open_, timeout=STOP_WAIT_S)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return {job.address: found.get(job.address, _failed(job, "stopped")) for job in jobs}

    async def _turn(self, job: Job) -> None:
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._gap
        await asyncio.sleep(at - now)
        if (why := self._judge(job)) is not None:
            raise _ForbiddenError(why)

    async def _host(self, job: Job) -> Host:
        room = asyncio.Semaphore(self._limits.per_host)
        answered = False

        async def knock(number: int) -> Port | None:
            nonlocal answered
            async with room:
                banner = await self._exchange(job, number, b"", _line, MAX_BANNER, wait=BANNER_WAIT_S)
                answered |= banner is not _SILENT
                if not isinstance(banner, bytes):
                    return None
                return await self._service(job, number, banner)

        tasks = [asyncio.create_task(knock(number)) for number in job.ports]
        try:
            ports = await asyncio.gather(*tasks)
        except _ForbiddenError as error:
            return Host(job.address, job.asset, refused=error.why)
        finally:
            for task in tasks:
                task.cancel()
        if not answered:
            return _failed(job, "no answer on any port")
        return Host(job.address, job.asset, job.ports, tuple(port for port in ports if port is not None))

    async def _service(self, job: Job, number: int, banner: bytes) -> Port:
        port = Port(number, scan_ssh.printable(banner.split(b"\n")[0].rstrip(b"\r")))
        if banner.startswith(b"SSH-"):
            return replace(port, ssh=await self._ssh(job, number) or Ssh(port.banner))
        if banner:
            return port
        return replace(port, tls=await self._tls(job, number))

    async def _ssh(self, job: Job, number: int) -> Ssh | None:
        data = await self._exchange(job, number, scan_ssh.HELLO, _has_kexinit, scan_ssh.MAX_REPLY)
        try:
            return scan_ssh.parse(data) if isinstance(data, bytes) else None
        except DecodeError:
            return None

    # ------------------------------------------------------------ TLS

    async def _tls(self, job: Job, number: int) -> Tls | None:
        first = await self._hello(job, number, "1.2")
        tlcp = await self._hello(job, number, "tlcp1.1")
        if not first.is_tls and not tlcp.is_tls:
            return None
        replies = {"1.2": first, "tlcp1.1": tlcp}
        for version in ("1.3", "1.1", "1.0", "ssl3"):
            replies[version] = await self._hello(job, number, version)
        taken = [name for name in scan_tls.VERSIONS if replies[name].version == name]
        weak: list[tuple[str, str]] = []
        if set(taken) - {"1.3", "tlcp1.1"}:
            for group, suites in scan_tls.WEAK.items():
                reply = await self._hello(job, number, "1.2", suites)
                if reply.suite in suites:
                    weak.append((group, reply.suite_name))
        der = next((reply.certificate for reply in replies.values() if reply.certificate), None)
        if der is None and "1.3" in taken:
            der = await self._certificate13(job, number)
        chosen = tuple(dict.fromkeys(replies[name].suite_name for name in taken))
        return Tls(tuple(taken), chosen, tuple(weak), _read(der))

    async def _hello(
        self, job: Job, number: int, version: str, suites: tuple[int, ...] | None = None
    ) -> scan_tls.Reply:
        hello = scan_tls.client_hello(version, suites)
        data = await self._exchange(job, number, hello, _hello_done, scan_tls.MAX_REPLY)
        try:
            return scan_tls.parse(data) if isinstance(data, bytes) else scan_tls.Reply()
        except DecodeError:
            return scan_tls.Reply()

    async def _certificate13(self, job: Job, number: int) -> bytes | None:
        # TLS 1.3 hides the certificate, so here the handshake is finished; nothing is verified, nothing is sent after.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3

        async def handshake() -> bytes | None:
            _, writer = await asyncio.open_connection(job.address, number, ssl=context, server_hostname="")
            try:
                found = writer.get_extra_info("ssl_object")
                return found.getpeercert(binary_form=True) if found else None
            finally:
                writer.transport.abort()

        return await self._timed(job, handshake)

    # ------------------------------------------------------------ one connection

    async def _exchange(
        self,
        job: Job,
        number: int,
        send: bytes,
        done: Callable[[bytes], bool],
        limit: int,
        *,
        wait: float | None = None,
    ) -> bytes | _Answer:
        """Connect, send, read until ``done``, the end, ``limit`` bytes or the timeout.

        Returns:
            What was read (maybe nothing); or that the port is closed, or that nobody answered.
        """
        await self._turn(job)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                reader, writer = await asyncio.open_connection(job.address, number)
        except ConnectionRefusedError:
            return _CLOSED
        except OSError:  # includes TimeoutError
            return _SILENT
        data = bytearray()
        try:
            async with asyncio.timeout(min(wait or self._limits.timeout_s, self._limits.timeout_s)):
                writer.write(send)
                await writer.drain()
                while len(data) < limit and (more := await reader.read(limit - len(data))):
                    data += more
                    if done(bytes(data)):
                        break
        except OSError:
            pass  # what has been read so far counts
        finally:
            writer.transport.abort()
        return bytes(data)

    async def _timed(self, job: Job, work: Callable[[], Coroutine[object, object, bytes | None]]) -> bytes | None:
        await self._turn(job)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await work()
        except (OSError, ssl.SSLError):
            return None


@dataclass(frozen=True, slots=True)
class _Answer:
    name: str


_CLOSED, _SILENT = _Answer("closed"), _Answer("silent")


def _failed(job: Job, why: str) -> Host:
    return Host(job.address, job.asset, job.ports, failed=why)


def _read(der: bytes | None) -> Certificate | None:
    try:
        return scan_tls.certificate(der) if der else None
    except DecodeError:
        return None


def _line(data: bytes) -> bool:
    return b"\n" in data


def _has_kexinit(data: bytes) -> bool:
    try:
        return scan_ssh.parse(data) is not None
    except DecodeError:
        return True


def _hello_done(data: bytes) -> bool:
    try:
        return scan_tls.parse(data).done
    except DecodeError:
        return True
