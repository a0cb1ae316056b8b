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
    22: "ssh",
    23: "telnet",
    25: "smtp",
    69: "tftp",
    80: "http",
    110: "pop3",
    137: "netbios-ns",
    138: "netbios-dgm",
    139: "smb",
    143: "imap",
    443: "https",
    445: "smb",
    465: "smtps",
    512: "rexec",
    513: "rlogin",
    514: "rsh",
    587: "submission",
    873: "rsync",
    989: "ftps-data",
    990: "ftps",
    993: "imaps",
    995: "pop3s",
    2049: "nfs",
    3389: "rdp",
    4899: "radmin",
    5800: "vnc",
    5900: "vnc",
    5901: "vnc",
    5902: "vnc",
    5938: "teamviewer",
    5985: "winrm",
    5986: "winrm",
    7070: "anydesk",
    8000: "http",
    8080: "http",
    8443: "https",
    8888: "http",
}
"""Mail, web, remote login and file transfer: must not cross into an industrial zone (L3-ABS5-01)."""

GENERAL_PROTOCOLS = (
    *("ftp", "ftp-data", "ftps", "tftp", "sftp", "http", "http2", "http3", "https", "quic", "imap", "imaps", "nfs"),
    *("pop3", "pop3s", "rdp", "rexec", "rfb", "rlogin", "rsh", "rsync", "smb", "smb2", "smtp", "smtps", "ssh"),
    *("teamviewer", "telnet", "vnc", "winrm", "websocket"),
)
"""The same by what was spoken (``network.protocol``), whatever the port."""

OT = {
    102: "s7comm/mms",
    502: "modbus",
    789: "crimson",
    802: "modbus-tls",
    1089: "ff-annunc",
    1090: "ff-fms",
    1091: "ff-sm",
    1153: "ansi-c12.22",
    1217: "codesys",
    1628: "lontalk",
    1629: "lontalk",
    1911: "niagara-fox",
    1962: "pcworx",
    2404: "iec104",
    2455: "codesys",
    3671: "knxip",
    4000: "roc-plus",
    4059: "dlms",
    4712: "c37.118",
    4713: "c37.118",
    4840: "opcua",
    4843: "opcua-tls",
    4911: "niagara-foxs",
    5006: "melsec",
    5007: "melsec",
    5094: "hart-ip",
    5095: "hart-ip",
    9600: "omron-fins",
    10001: "genisys",
    11740: "codesys-v3",
    18245: "ge-srtp",
    18246: "ge-srtp",
    19999: "dnp3-tls",
    20000: "dnp3",
    20547: "proconos",
    34962: "profinet",
    34963: "profinet",
    34964: "profinet",
    34980: "ethercat",
    44818: "enip",
    47808: "bacnet",
    48898: "ads",
    55000: "fl-net",
    55001: "fl-net",
    55002: "fl-net",
    55003: "fl-net",
}
"""Usual ports of industrial protocols, TCP or UDP: whatever the register says, nothing is ever sent there."""

OT_PROTOCOLS = (
    *("ads", "bacnet", "bsap", "c37118", "cip", "cjt188", "codesys", "dlms", "dlt645", "dlt698", "dnp3", "enip"),
    *("ethercat", "ethernet_ip", "gbt20999", "genisys", "hart_ip", "hj212", "iec104", "knxip", "melsec", "mms"),
    *("modbus", "omron_fins", "opcua", "opcua_binary", "profinet_dcp", "profinet_io", "profinet", "roc_plus"),
    *("s7comm", "s7comm_plus", "sl651", "szy206", "synchrophasor", "genisys_tcp", "hartip", "knxnet_ip"),
)
"""The same by what was spoken in a flow (``network.protocol``); every event of the ``ot`` dataset counts anyway."""

PRINTING = frozenset(range(9100, 9108))
"""Whatever arrives there is printed on paper, so nothing is sent."""

USUAL = tuple(
    sorted(
        {*HIGH_RISK, *CLEARTEXT, *ADMIN, 22, 25, 443, 1433, 1521, 3306, 5432, 8000, 8443, 8888, 9000}
        - {20, 69, 137, 138, *OT, *PRINTING}  # not TCP services one connects to, or none one may
    )
)
"""Asked of every host, besides its registered ports."""
