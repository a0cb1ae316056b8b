"""TCP ports that matter: what a scan asks of every host, and which of them are dangerous or cleartext."""

from __future__ import annotations

HIGH_RISK = {
    23: "telnet",
    69: "tftp",
    111: "rpcbind",
    135: "msrpc",
    137: "netbios-ns",
    138: "netbios-dgm",
    139: "netbios-ssn",
    445: "smb",
    512: "rexec",
    513: "rlogin",
    514: "rsh",
    873: "rsync",
    1099: "java-rmi",
    2049: "nfs",
    2181: "zookeeper",
    2375: "docker",
    3389: "rdp",
    4848: "glassfish-admin",
    5900: "vnc",
    5984: "couchdb",
    6379: "redis",
    7001: "weblogic",
    9200: "elasticsearch",
    11211: "memcached",
    27017: "mongodb",
    50070: "hdfs-web",
}
"""High-risk ports: file sharing, remote control and databases often left without authentication."""

CLEARTEXT = {
    20: "ftp-data",
    21: "ftp",
    23: "telnet",
    69: "tftp",
    80: "http",
    110: "pop3",
    143: "imap",
    389: "ldap",
    512: "rexec",
    513: "rlogin",
    514: "rsh",
    5900: "vnc",
    8080: "http",
}
"""Protocols that carry logins in the clear, by usual port."""

ADMIN = {22: "ssh", 23: "telnet", 135: "msrpc", 445: "smb", 3389: "rdp", 5900: "vnc", 5985: "winrm", 5986: "winrm"}
"""Remote administration."""

GENERAL = {
    20: "ftp-data",
    21: "ftp",
    23: "telnet",
    25: "smtp",
    80: "http",
    110: "pop3",
    143: "imap",
    443: "https",
    465: "smtps",
    513: "rlogin",
    514: "rsh",
    587: "submission",
    993: "imaps",
    995: "pop3s",
    8080: "http",
}
"""Mail, web, remote login and file transfer: must not cross into an industrial zone (L3-ABS5-01)."""

USUAL = tuple(
    sorted(
        {*HIGH_RISK, *CLEARTEXT, *ADMIN, 22, 25, 443, 1433, 1521, 3306, 5432, 8000, 8443, 8888, 9000}
        - {20, 69, 137, 138}  # not TCP services one connects to
    )
)
"""Asked of every host, besides its registered ports."""
