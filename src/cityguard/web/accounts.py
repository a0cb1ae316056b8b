"""Accounts, sessions, tokens and the count of failed logins, in one small SQLite file of their own (``users.db``)."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from cityguard.clock import Clock, utc_now
from cityguard.errors import InputError, RefusedError
from cityguard.web.passwords import MAX_LENGTH, check_password, one_time_password

ROLES: tuple[str, ...] = ("admin", "analyst", "auditor", "operator")
ACCOUNT_TRIES, ADDRESS_TRIES = 5, 20
WINDOW = timedelta(minutes=15)
KNOWN_DAYS, MAX_PLACES = 30, 20  # addresses an account came in from keep a budget of their own
TOKEN_DAYS = 90
MAX_WAITING = 8  # logins that may wait for the hasher; more are told to come back

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
  name TEXT PRIMARY KEY, hash TEXT NOT NULL, roles TEXT NOT NULL, must_change INTEGER NOT NULL,
  disabled INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL,
  CHECK (roles = 'auditor' OR instr(roles, 'auditor') = 0)
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
  id TEXT PRIMARY KEY, user TEXT NOT NULL, created REAL NOT NULL, seen REAL NOT NULL, ip TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL, user TEXT NOT NULL, label TEXT NOT NULL, roles TEXT NOT NULL,
  created REAL NOT NULL, expires REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS places (
  user TEXT NOT NULL, ip TEXT NOT NULL, seen REAL NOT NULL, PRIMARY KEY (user, ip)
) STRICT;
CREATE TABLE IF NOT EXISTS tries (
  key TEXT PRIMARY KEY, since REAL NOT NULL, count INTEGER NOT NULL, locked_until REAL NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class User:
    """One account. ``auditor`` is never combined with another role: who acts does not audit."""

    name: str
    roles: frozenset[str]
    must_change: bool
    disabled: bool
    created: datetime

    @property
    def role(self) -> str:
        """The roles as one word, for lists."""
        return ",".join(sorted(self.roles))


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token as listed: never its secret."""

    id: str
    user: str
    label: str
    roles: frozenset[str]
    expires: datetime


class LoginError(RefusedError):
    """A login that is refused. Says nothing about which part was wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # wrong, locked or busy


class Accounts:
    """Everything about who may come in. Safe to use from many threads; close it at the end."""

    def __init__(
        self,
        path: Path,
        clock: Clock = utc_now,
        *,
        idle: timedelta = timedelta(minutes=15),
        absolute: timedelta = timedelta(hours=8),
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA secure_delete=ON;" + _SCHEMA)
        self._lock = threading.Lock()
        self._clock, self._idle, self._absolute = clock, idle, absolute
        # RFC 9106 / OWASP minimum: t=2, m=19 MiB, p=1; two at a time, so that a flood of logins costs bounded memory.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._hashing = threading.BoundedSemaphore(2)
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- users ---------------------------------------------------------------

    def add(self, name: str, password: str, roles: Iterable[str], *, must_change: bool = True) -> User:
        """Create an account.

        Raises:
            InputError: the name, the roles or the password will not do, or the name is taken.
        """
        chosen = _roles(roles)
        if not (1 <= len(name) <= 64 and name.isprintable() and name == name.strip() and "," not in name):
            raise InputError("a user name has 1 to 64 printable characters, no comma")
        check_password(name, password)
        row = (name, self._hash(password), ",".join(sorted(chosen)), int(must_change), self._now())
        with self._write() as db:
            if db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
                raise InputError(f"user '{name}' exists", remedy="choose another name")
            db.execute("INSERT INTO users (name, hash, roles, must_change, created) VALUES (?, ?, ?, ?, ?)", row)
        found = self.get(name)
        assert found is not None
        return found

    def get(self, name: str) -> User | None:
        rows = self._read("SELECT name, roles, must_change, disabled, created FROM users WHERE name = ?", name)
        return _user(rows[0]) if rows else None

    def users(self) -> list[User]:
        return [
            _user(row)
            for row in self._read("SELECT name, roles, must_change, disabled, created FROM users ORDER BY name")
        ]

    def set_password(self, name: str, password: str, *, must_change: bool) -> None:
        """Set a password; every session and token of the account dies.

        Raises:
            InputError: no such account, or the password will not do.
        """
        check_password(name, password)
        hashed = self._hash(password)
        with self._write() as db:
            if self._verify_row(db, name, password):
                raise InputError("the new password equals the old one")
            cursor = db.execute(
                "UPDATE users SET hash = ?, must_change = ? WHERE name = ?", (hashed, int(must_change), name)
            )
            if not cursor.rowcount:
                raise InputError(f"no user '{name}'", remedy="cityguard user list")
            _forget(db, name)
            db.execute("DELETE FROM tries WHERE key = ?", (_key("user", name),))

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Close or open an account; its sessions and tokens die. The last open admin cannot be closed."""
        with self._write() as db:
            admins = db.execute("SELECT name FROM users WHERE NOT disabled AND instr(roles, 'admin')").fetchall()
            if disabled and admins == [(name,)]:
                raise InputError("the last administrator cannot be disabled")
            if not db.execute("UPDATE users SET disabled = ? WHERE name = ?", (int(disabled), name)).rowcount:
                raise InputError(f"no user '{name}'", remedy="cityguard user list")
            _forget(db, name)

    def first_run(self) -> tuple[str, str] | None:
        """Create ``admin`` with a password for one login, if there is no account at all. Returns (name, password)."""
        with self._lock:
            empty = not self._db.execute("SELECT 1 FROM users LIMIT 1").fetchone()
        if not empty:
            return None
        password = one_time_password()
        self.add("admin", password, ("admin", "analyst", "operator"), must_change=True)
        return "admin", password

    # -- logins and sessions ------------------------------------------------

    def login(self, name: str, password: str, ip: str) -> str:
        """Check a password and open a session. Returns the session's id, to be kept by the browser alone.

        Raises:
            LoginError: wrong, locked or busy.
        """
        self.check(name, password, ip)
        return self.open_session(name, ip)

    def check(self, name: str, password: str, ip: str, *, known: bool = False) -> None:
        """Check a password, e.g. of somebody who has a session (``known``) and wants to change it.

        A try takes its place in the budget before anything is hashed, so parallel tries cannot slip past the limit,
        and gives it back when the password was right: only failures count. Addresses the account came in from during
        ``KNOWN_DAYS`` have a budget of their own, so that strangers cannot lock its owner out. An unknown name costs
        the same as a known one.

        Raises:
            LoginError: wrong, locked or busy.
        """
        keys = self._reserve(name, ip, known=known)
        good, looked = False, False
        try:
            if not self._waiting.acquire(blocking=False):
                raise LoginError("busy")
            try:
                with self._hashing:
                    good = self._verify(name, password)
                looked = True
            finally:
                self._waiting.release()
        finally:
            self._settle(keys, good=good, looked=looked)
        if not good:
            raise LoginError("wrong")

    def open_session(self, name: str, ip: str) -> str:
        """Open a session for somebody who has just shown who they are; their address is known from now on."""
        sid = secrets.token_urlsafe(32)
        now, place = self._now(), _sha(ip)
        with self._write() as db:
            db.execute("DELETE FROM sessions WHERE created < ?", (now - self._absolute.total_seconds(),))
            db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", (_sha(sid), name, now, now, ip))
            db.execute("DELETE FROM places WHERE seen < ?", (now - timedelta(days=KNOWN_DAYS).total_seconds(),))
            db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", (name, place, now))
            db.execute(
                "DELETE FROM places WHERE user = ? AND ip NOT IN"
                " (SELECT ip FROM places WHERE user = ? ORDER BY seen DESC LIMIT ?)",
                (name, name, MAX_PLACES),
            )
        return sid

    def session(self, sid: str) -> User | None:
        """The user of a living session; looking keeps it alive until the absolute end."""
        now = self._now()
        oldest_seen, oldest = now - self._idle.total_seconds(), now - self._absolute.total_seconds()
        with self._write() as db:
            row = db.execute(
                "SELECT u.name, u.roles, u.must_change, u.disabled, u.created"
                " FROM sessions s JOIN users u ON u.name = s.user"
                " WHERE s.id = ? AND s.seen > ? AND s.created > ? AND NOT u.disabled",
                (_sha(sid), oldest_seen, oldest),
            ).fetchone()
            if row is not None:
                db.execute("UPDATE sessions SET seen = ? WHERE id = ?", (now, _sha(sid)))
        return _user(row) if row else None

    def logout(self, sid: str) -> None:
        with self._write() as db:
            db.execute("DELETE FROM sessions WHERE id = ?", (_sha(sid),))

    # -- tokens --------------------------------------------------------------

    def add_token(self, user: User, label: str, roles: Iterable[str], days: int) -> tuple[Token, str]:
        """Make a bearer token with some of the user's roles. Returns it and its secret, shown this once.

        Raises:
            InputError: roles the user has not, or a life beyond ``TOKEN_DAYS``.
        """
        chosen = _roles(roles)
        if not chosen <= user.roles:
            raise InputError("a token cannot do more than its owner", remedy=", ".join(sorted(user.roles)))
        if not 1 <= days <= TOKEN_DAYS:
            raise InputError(f"a token lives 1 to {TOKEN_DAYS} days")
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        now = self._clock()
        token = Token(token_id, user.name, label[:100], chosen, now + timedelta(days=days))
        row = (token_id, _sha(secret), user.name, token.label, ",".join(sorted(chosen)), now.timestamp())
        with self._write() as db:
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, token.expires.timestamp()))
        return token, f"cg_{token_id}_{secret}"

    def token(self, text: str) -> tuple[User, frozenset[str]] | None:
        """The owner of a living token, and what the token may do of what its owner may."""
        kind, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        if kind != "cg" or len(text) > 200:
            return None
        rows = self._read(
            "SELECT u.name, u.roles, u.must_change, u.disabled, u.created, t.hash, t.roles FROM tokens t"
            " JOIN users u ON u.name = t.user"
            " WHERE t.id = ? AND t.expires > ? AND NOT u.disabled AND NOT u.must_change",
            token_id,
            self._now(),
        )
        if not rows or not secrets.compare_digest(str(rows[0][5]), _sha(secret)):
            return None
        user = _user(rows[0][:5])
        return user, frozenset(str(rows[0][6]).split(",")) & user.roles

    def tokens(self, user: str | None = None) -> list[Token]:
        rows = self._read(
            "SELECT id, user, label, roles, expires FROM tokens WHERE (? IS NULL OR user = ?) ORDER BY expires",
            user,
            user,
        )
        return [Token(str(r[0]), str(r[1]), str(r[2]), frozenset(str(r[3]).split(",")), _when(r[4])) for r in rows]

    def drop_token(self, token_id: str, user: str | None = None) -> bool:
        """Revoke a token (only the user's own, if one is named)."""
        with self._write() as db:
            cursor = db.execute("DELETE FROM tokens WHERE id = ? AND (? IS NULL OR user = ?)", (token_id, user, user))
            return cursor.rowcount > 0

    # -- inside -------------------------------------------------------------

    def _now(self) -> float:
        return self._clock().timestamp()

    def _read(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _reserve(self, name: str, ip: str, *, known: bool) -> tuple[tuple[str, int], ...]:
        """Count a try before it is looked at; returns the budgets it was taken from, with their limits."""
        now = self._now()
        with self._write() as db:
            db.execute("DELETE FROM tries WHERE since < ? AND locked_until < ?", (now - WINDOW.total_seconds(), now))
            since = now - timedelta(days=KNOWN_DAYS).total_seconds()
            found = db.execute("SELECT 1 FROM places WHERE user = ? AND ip = ? AND seen > ?", (name, _sha(ip), since))
            own = known or found.fetchone() is not None
            account = _key("known", f"{name}\x1f{ip}") if own else _key("user", name)
            keys = ((account, ACCOUNT_TRIES), (_key("ip", ip), ADDRESS_TRIES))
            locked = False
            for key, limit in keys:
                row = db.execute("SELECT count, locked_until FROM tries WHERE key = ?", (key,)).fetchone()
                count, until = row or (0, 0.0)
                locked |= until > now or count >= limit
            if not locked:
                for key, _ in keys:
                    db.execute(
                        "INSERT INTO tries VALUES (?, ?, 1, 0) ON CONFLICT (key) DO UPDATE SET count = count + 1",
                        (key, now),
                    )
        if locked:
            raise LoginError("locked")
        return keys

    def _settle(self, keys: tuple[tuple[str, int], ...], *, good: bool, looked: bool) -> None:
        """Keep a failure, give back all else. A right password clears the account's failures, not the address's."""
        now = self._now()
        with self._write() as db:
            if good:
                db.execute("DELETE FROM tries WHERE key = ?", (keys[0][0],))
            for key, limit in keys:
                if good or not looked:
                    db.execute("UPDATE tries SET count = count - 1 WHERE key = ?", (key,))
                lock = "UPDATE tries SET locked_until = ? WHERE key = ? AND count >= ? AND locked_until < ?"
                if looked and not good:
                    db.execute(lock, (now + WINDOW.total_seconds(), key, limit, now))
                db.execute("UPDATE tries SET locked_until = 0 WHERE key = ? AND count < ?", (key, limit))
            db.execute("DELETE FROM tries WHERE count <= 0")

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _verify(self, name: str, password: str) -> bool:
        rows = self._read("SELECT hash FROM users WHERE name = ? AND NOT disabled", name)
        known = self._matches(str(rows[0][0]) if rows else self._nobody, password[:MAX_LENGTH])
        return known and bool(rows)

    def _verify_row(self, db: sqlite3.Connection, name: str, password: str) -> bool:
        row = db.execute("SELECT hash FROM users WHERE name = ?", (name,)).fetchone()
        return bool(row) and self._matches(row[0], password)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerifyMismatchError, InvalidHashError):
            return False


def _roles(roles: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(roles)
    if not chosen or not chosen <= set(ROLES):
        raise InputError(f"roles are some of {', '.join(ROLES)}")
    if "auditor" in chosen and len(chosen) > 1:
        raise InputError("an auditor has no other role", remedy="make two accounts")
    return chosen


def _forget(db: sqlite3.Connection, name: str) -> None:
    db.execute("DELETE FROM sessions WHERE user = ?", (name,))
    db.execute("DELETE FROM tokens WHERE user = ?", (name,))
    db.execute("DELETE FROM places WHERE user = ?", (name,))


def _key(kind: str, value: str) -> str:
    return f"{kind}:{_sha(value)}"


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _when(value: object) -> datetime:
    assert isinstance(value, (int, float))
    return datetime.fromtimestamp(value, UTC)


def _user(row: tuple[object, ...]) -> User:
    name, roles, must_change, disabled, created = row
    return User(str(name), frozenset(str(roles).split(",")), bool(must_change), bool(disabled), _when(created))
