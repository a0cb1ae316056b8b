"""What a host firewall lets in: the input chains of iptables and nft, jumps followed, each accept with its limits."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from cityguard.checks.linux import Collected

WIDE_PORTS = 1000  # an accept of more ports than that is for any port
NARROW = {4: 8, 6: 16}  # a source prefix shorter than that is anybody
MAX_DEPTH, MAX_STEPS = 8, 5000
_SERVICES = {"ssh": 22, "http": 80, "https": 443, "telnet": 23, "ftp": 21, "domain": 53, "ntp": 123}

Ports = tuple[tuple[int, int], ...]
Act = Literal["accept", "deny", "return", "jump", ""]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it does, and what limits it. ``deny`` and ``return`` only when nothing does.

    Ports of an unknown name or set are ``(-1, -1)``.
    """

    act: Act
    text: str
    target: str = ""
    by_source: bool = False
    by_else: bool = False  # loopback, established, ICMP and the like
    ports: Ports | None = None
    unlimited: bool = False

    @property
    def is_wide(self) -> bool:
        """Lets anybody reach (nearly) any port."""
        many = self.ports is None or sum(high - low + 1 for low, high in self.ports) > WIDE_PORTS
        return self.act == "accept" and not self.by_source and not self.by_else and many

    def lets_anybody_to(self, port: int) -> bool:
        """Lets anybody reach this port."""
        reached = self.ports is None or any(low < 0 or low <= port <= high for low, high in self.ports)
        return self.act == "accept" and not self.by_source and not self.by_else and reached


@dataclass(slots=True)
class Base:
    """One chain that every packet to the host passes. ``unsure``: it holds what we cannot read."""

    denies: bool
    rules: list[Rule] = field(default_factory=list)
    unsure: bool = False

    @property
    def wide(self) -> list[Rule]:
        return [rule for rule in self.rules if rule.is_wide]

    @property
    def is_closed(self) -> bool:
        """Denies what no narrow rule lets in."""
        return self.denies and not self.wide and not self.unsure


def bases(text: Collected) -> list[Base]:
    """Every input chain collected; empty when no listing says anything."""
    return [*_iptables(text), *_nft(text)]


# ---------------------------------------------------------------- following jumps


def _resolve(chains: dict[str, list[Rule]], start: str, policy_denies: bool) -> Base:
    base, steps = Base(policy_denies), 0

    def walk(name: str, jump: Rule, depth: int) -> bool:
        nonlocal steps
        for rule in chains.get(name, ()):
            steps += 1
            if depth > MAX_DEPTH or steps > MAX_STEPS:
                base.unsure = True
                return True
            if rule.act == "return":
                return False
            if rule.act == "jump" and walk(rule.target, _within(jump, rule), depth + 1):
                return True
            if rule.act == "jump" and rule.unlimited and re.search(r"(^| )(-g|goto) ", rule.text):
                return False  # a goto does not come back here
            unlimited = not (jump.by_source or jump.by_else or jump.ports)
            if rule.act == "deny" and unlimited:
                base.denies = True
                return True
            if rule.act == "deny":
                return False
            if rule.act == "accept":
                base.rules.append(_within(jump, rule))
            base.unsure = base.unsure or rule.text.startswith("?")
        return False

    walk(start, Rule("jump", ""), 0)
    return base


def _within(outer: Rule, rule: Rule) -> Rule:
    return Rule(
        rule.act,
        rule.text,
        rule.target,
        outer.by_source or rule.by_source,
        outer.by_else or rule.by_else,
        rule.ports if rule.ports is not None else outer.ports,
    )


def _is_narrow(text: str) -> bool:
    if text.startswith("@"):
        return True  # a named set
    if "-" in text:
        return not text.startswith("0.0.0.0-")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return network.prefixlen >= NARROW[network.version]


def _ports(texts: Iterable[str]) -> Ports:
    found = []
    for text in texts:
        low, _, high = text.strip().replace(":", "-").partition("-")
        first = _SERVICES.get(low, int(low) if low.isdecimal() else -1)
        found.append((first, int(high) if high.isdecimal() else 65535 if text.strip().endswith((":", "-")) else first))
    return tuple(found)


# ---------------------------------------------------------------- iptables


def _iptables(text: Collected) -> Iterator[Base]:
    lines = text.lines("iptables -S") or list(_filter_table(text.lines("iptables-save")))
    policy = next((match[2] for line in lines if (match := re.match(r"(-P |:)INPUT (\w+)", line))), None)
    if policy is None:
        return
    chains: dict[str, list[Rule]] = {}
    for line in lines:
        if (tokens := _tokens(line))[:1] == ["-A"] and len(tokens) > 2:
            chains.setdefault(tokens[1], []).append(_table_rule(tokens[2:], line))
    yield _resolve(chains, "INPUT", policy in ("DROP", "REJECT"))


def _filter_table(lines: list[str]) -> Iterator[str]:
    table = "filter"
    for line in lines:
        if line.startswith("*"):
            table = line[1:].strip()
        elif table == "filter":
            yield line


def _tokens(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _table_rule(tokens: list[str], line: str) -> Rule:
    said = {option: value for option, value in pairwise([*tokens, ""]) if option.startswith("-")}
    negated = {after for before, after in pairwise(tokens) if before == "!"}
    positive = {name: value for name, value in said.items() if name not in negated}
    target = said.get("-j") or said.get("-g") or ""
    states = positive.get("--ctstate") or positive.get("--state") or "NEW"
    by_source = _is_narrow(positive.get("-s", "")) or bool({"--mac-source", "--src-range"} & positive.keys())
    by_source = by_source or ("--match-set" in positive and "src" in tokens)
    protocol = positive.get("-p", "all")
    by_else = (
        positive.get("-i") == "lo"
        or ("NEW" not in states and "INVALID" not in states)
        or protocol not in ("all", "0", "tcp", "udp", "sctp", "6", "17")
        or "--syn" in negated
        or "--tcp-flags" in positive
        or positive.get("-d", "").startswith(("224.", "239.", "255.255.255.255"))
    )
    asked = positive.get("--dport") or positive.get("--dports") or positive.get("--destination-port")
    ports = _ports(asked.split(",")) if asked else None
    harmless = {"-j", "-g", "--comment", "--reject-with", "-m"}
    unlimited = not set(said) - harmless and said.get("-m", "comment") == "comment"
    return _rule(target, line, by_source, by_else, ports, unlimited)


def _rule(target: str, line: str, by_source: bool, by_else: bool, ports: Ports | None, unlimited: bool) -> Rule:
    act: Act = "jump"
    if target in ("ACCEPT", "accept"):
        act = "accept"
    elif target in ("DROP", "REJECT", "drop", "reject"):
        act = "deny" if unlimited else ""
    elif target in ("RETURN", "return"):
        act = "return" if unlimited else ""
    elif target in ("", "LOG", "NFLOG", "MARK", "CONNMARK", "AUDIT"):
        act = ""
    return Rule(act, line, target, by_source, by_else, ports, unlimited)


# ---------------------------------------------------------------- nft

_NOISE = re.compile(r'counter( packets \d+ bytes \d+)?|(comment|log prefix) "[^"]*"|\blog\b( (level|flags) \w+)*')
_VERDICT = re.compile(r"\b(accept|drop|reject|return|(?:jump|goto) (\S+))")
_SOURCE = re.compile(r"\bip6? saddr (!= )?(\{[^}]*\}|\S+)")
_DPORT = re.compile(r"\b(?:tcp|udp|th) dport (!= )?(\{[^}]*\}|\S+)")
_STATE = re.compile(r"\bct state (!= )?(\{[^}]*\}|\S+)")
_ELSE = re.compile(r'\biif(name)? "?lo"?(\s|$)|icmp|igmp|\bct status\b|tcp flags|\bip6? daddr (2(24|39)\.|ff0)')


def _nft(text: Collected) -> Iterator[Base]:
    chains: dict[str, dict[str, list[Rule]]] = {}
    inputs: list[tuple[str, str, bool]] = []
    table, chain = "", ""
    for line in text.lines("nft list ruleset"):
        if match := re.match(r"table (\S+ \S+) \{", line):
            table, chain = match[1], ""
        elif match := re.match(r"(chain|set|map|flowtable|counter|quota|ct \w+) (\S+) \{", line):
            chain = match[2] if match[1] == "chain" else ""
        elif line == "}":
            chain = ""
        elif chain and "hook " in line:
            if "type filter" in line and "hook input" in line:
                inputs.append((table, chain, "policy drop" in line))
        elif chain:
            chains.setdefault(table, {}).setdefault(chain, []).append(_nft_rule(line))
    for name, start, denies in inputs:
        yield _resolve(chains.get(name, {}), start, denies)


def _nft_rule(line: str) -> Rule:
    said = _NOISE.sub("", line).strip()
    if "vmap" in said:
        return Rule("", f"?{line}")
    verdict = _VERDICT.search(said)
    if verdict is None:
        return Rule("", line)
    source, dport, state = _SOURCE.search(said), _DPORT.search(said), _STATE.search(said)
    by_source = bool(source and not source[1] and all(map(_is_narrow, _members(source[2])))) or "ether saddr" in said
    is_reply = bool(state and not state[1] and "new" not in state[2] and "invalid" not in state[2])
    ports = _ports(_members(dport[2])) if dport and not dport[1] else None
    target = verdict[2] or verdict[1]
    return _rule(target, line, by_source, is_reply or bool(_ELSE.search(said)), ports, verdict.start() == 0)


def _members(text: str) -> list[str]:
    return [part.strip() for part in text.strip("{} ").split(",")]
