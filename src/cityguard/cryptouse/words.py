"""The codes of the inventory in words, zh first."""

from __future__ import annotations

from cityguard.model import Text

PROBLEMS: dict[str, Text] = {
    "expired": Text("证书过期", "Certificate expired"),
    "early": Text("证书未生效", "Certificate not valid yet"),
    "soon": Text("30 天内到期", "Ends within 30 days"),
    "sometimes_turned_down": Text("有时未采用国密", "National sometimes turned down"),
    "weak_version": Text("过时版本", "Outdated version"),
    "weak_suite": Text("不安全套件", "Broken suite"),
    "weak_key": Text("密钥过短", "Short key"),
    "weak_signature": Text("不安全签名算法", "Broken signature"),
    "aggressive": Text("野蛮模式预共享密钥", "Aggressive mode, shared key"),
    "single": Text("单证书", "Single certificate"),
    "swapped": Text("双证书用途颠倒", "Certificates swapped"),
    "mismatched": Text("双证书不匹配", "Certificates do not match"),
    "unusual": Text("密钥用途不符", "Unfit key usage"),
    "mixed": Text("混用算法证书", "Mixed algorithms"),
    "rsa_suite": Text("TLCP 用 RSA 套件", "RSA suite under TLCP"),
    "sha1": Text("SHA-1 套件", "SHA-1 suite"),
    "sm1": Text("SM1 套件", "SM1 suite"),
    "self_signed": Text("自签名", "Self-signed"),
    "shared": Text("多系统共用证书", "Shared by systems"),
    "shared_key": Text("多证书共用密钥", "Key in several certificates"),
}
STATES: dict[str, Text] = {
    "national": Text("国密", "National"),
    "mixed": Text("国密与其他并用", "National and others"),
    "turned_down": Text("提供国密从未采用", "National always turned down"),
    "ordinary": Text("非国密", "Not national"),
    "unanswered": Text("未协商成功", "Nothing agreed on"),
}
ROLES: dict[str, Text] = {
    "server": Text("签名/服务端", "Signing / server"),
    "encryption": Text("加密", "Encryption"),
    "client": Text("客户端", "Client"),
}


def problem(code: str) -> Text:
    """A code in words; the code itself where there are none."""
    return PROBLEMS.get(code) or Text(code, code)
