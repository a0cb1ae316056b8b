"""Logins and statements of MySQL, PostgreSQL, SQL Server and Redis; passwords nowhere."""

from __future__ import annotations

import struct

from tests.decoders.ot.talk import said

from cityguard.decoders.app import mysql, postgresql, redis, tds

MYSQL, POSTGRES = mysql.PROTOCOLS[0], postgresql.PROTOCOLS[0]
TDS, REDIS = tds.PROTOCOLS[0], redis.PROTOCOLS[0]


def my(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((number,)) + body


GREETING = my(0, b"\x0a8.0.36\0" + bytes(60))
LOGIN = my(1, struct.pack("<IIB23s", 0x8208 | 0x00200000, 1 << 24, 33, b"") + b"anna\0\x05abcdeshop\0")


def test_mysql_gives_user_database_statements_and_errors() -> None:
    refused = b"\xff\x15\x04#28000Access denied"
    rows = said(
        MYSQL,
        (1, GREETING),
        (0, LOGIN),
        (1, my(2, b"\0\0\0\2\0\0\0")),
        (0, my(0, b"\x03SELECT * FROM t")),
        (1, my(1, b"\x01")),
        (0, my(0, b"\x03DROP TABLE t")),
        (1, my(1, refused)),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    first, second = (row for row in rows if row["event.action"] == "query")
    assert (login["user.name"], login["db.name"], login["event.outcome"]) == ("anna", "shop", "success")
    assert (first["db.statement"], first["event.outcome"]) == ("SELECT * FROM t", "success")
    assert (second["event.outcome"], second["event.code"], second["error.message"]) == (
        "failure",
        "1045",
        "Access denied",
    )
    (bad,) = said(MYSQL, (1, GREETING), (0, LOGIN), (1, my(2, refused)))
    assert bad["event.outcome"] == "failure"
    assert MYSQL.starts(GREETING, False)


def test_a_long_statement_is_cut_and_what_follows_is_found() -> None:
    long = my(0, b"\x03SELECT '" + b"x" * 100_000 + b"'")
    rows = said(
        MYSQL, (1, GREETING), (0, LOGIN), (1, my(2, b"\0")), (0, long[:50_000]), (0, long[50_000:]), (1, my(1, b"\1"))
    )
    (row,) = (row for row in rows if row["event.action"] == "query")
    assert len(row["db.statement"]) <= mysql.MAX_STATEMENT


def pg(kind: bytes, body: bytes) -> bytes:
    return kind + (4 + len(body)).to_bytes(4, "big") + body


STARTUP = b"\0\3\0\0user\0anna\0database\0shop\0application_name\0psql\0\0"
START = (4 + len(STARTUP)).to_bytes(4, "big") + STARTUP


def test_postgresql_gives_user_database_program_and_errors() -> None:
    error = pg(b"E", b"SERROR\0C42P01\0Mno such table\0\0")
    rows = said(
        POSTGRES,
        (0, START),
        (1, pg(b"R", b"\0\0\0\5salt")),
        (0, pg(b"p", b"md5geheim1\0")),
        (1, pg(b"R", b"\0\0\0\0")),
        (0, pg(b"Q", b"select 1\0")),
        (1, pg(b"C", b"SELECT 1\0")),
        (0, pg(b"P", b"\0delete from t\0\0\0")),
        (1, error),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    first, second = (row for row in rows if row["event.action"] == "query")
    assert (login["user.name"], login["db.name"], login["process.name"]) == ("anna", "shop", "psql")
    assert login["event.outcome"] == "success"
    assert (first["db.statement"], first["event.outcome"]) == ("select 1", "success")
    assert (second["event.outcome"], second["event.code"]) == ("failure", "42P01")
    assert "geheim1" not in str(rows)
    assert POSTGRES.starts(START, False)


def tds_packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBHHBB", kind, 1, 8 + len(body), 0, 1, 0) + body


def login7(host: str, user: str, program: str) -> bytes:
    texts = [host, user, "geheim1", program, "db-1", "", "", "", "shop"]
    fixed, data, offset = b"", b"", 94
    for text in texts:
        raw = text.encode("utf-16-le")
        fixed += struct.pack("<HH", offset + len(data), len(text))
        data += raw
    body = bytes(32) + fixed + bytes(94 - 36 - len(fixed)) + data
    return struct.pack("<I", 4 + len(body)) + body


def test_sql_server_gives_host_user_and_program() -> None:
    error = b"\xaa" + struct.pack("<HIBBH", 30, 18456, 1, 14, 6) + "failed".encode("utf-16-le")
    (bad,) = said(TDS, (0, tds_packet(16, login7("pc-1", "anna", "excel"))), (1, tds_packet(4, error)))
    assert (bad["user.name"], bad["host.name"], bad["process.name"]) == ("anna", "pc-1", "excel")
    assert (bad["event.outcome"], bad["event.code"], bad["error.message"]) == ("failure", "18456", "failed")
    batch = struct.pack("<I", 4) + "select 1".encode("utf-16-le")
    rows = said(
        TDS,
        (0, tds_packet(16, login7("pc-1", "anna", "excel"))),
        (1, tds_packet(4, b"\xad\0\0")),
        (0, tds_packet(1, batch[4:])),
        (1, tds_packet(4, b"\x81")),
    )
    query = next(row for row in rows if row["event.action"] == "query")
    assert (query["db.statement"], query["event.outcome"]) == ("select 1", "success")
    assert "geheim1" not in str([*rows, bad])


def resp(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def test_redis_tells_logins_and_dangerous_commands_alone() -> None:
    rows = said(
        REDIS,
        (0, resp(b"AUTH", b"geheim1")),
        (1, b"-WRONGPASS invalid\r\n"),
        (0, resp(b"GET", b"key") + resp(b"CONFIG", b"SET", b"dir", b"/var/spool/cron")),
        (1, b"$5\r\nvalue\r\n+OK\r\n"),
        (0, resp(b"CONFIG", b"SET", b"requirepass", b"geheim2")),
        (1, b"+OK\r\n"),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    first, second = (row for row in rows if row["event.action"] == "config")
    assert (login["event.outcome"], login["user.name"]) == ("failure", "default")
    assert (first["db.statement"], first["event.outcome"]) == ("CONFIG SET dir /var/spool/cron", "success")
    assert second["db.statement"] == "CONFIG SET requirepass ***"
    assert "geheim" not in str(rows)
    assert len(rows) == 3
    assert REDIS.starts(resp(b"PING"), False)


def test_passwords_in_statements_and_settings_are_cut_out() -> None:
    rows = said(
        MYSQL, (1, GREETING), (0, LOGIN), (1, my(2, b"\0")), (0, my(0, b"\x03ALTER USER a IDENTIFIED BY 'geheim1'"))
    )
    rows += said(POSTGRES, (0, START), (1, pg(b"R", b"\0\0\0\0")), (0, pg(b"Q", b"ALTER ROLE a PASSWORD 'geheim1'\0")))
    for name in (b"masterauth", b"requirepass", b"tls-key-file-pass"):
        rows += said(REDIS, (0, resp(b"CONFIG", b"SET", name, b"geheim1")), (1, b"+OK\r\n"))
    rows += said(REDIS, (0, resp(b"EVAL", b"redis.call('auth','geheim1')", b"0")), (1, b"+OK\r\n"))
    assert len(rows) >= 7
    assert "geheim1" not in str(rows)
    assert "***" in str(rows)
