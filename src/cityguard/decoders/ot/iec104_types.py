"""What the type identifications of IEC 60870-5-101/-104 carry: name, class, information element, time tag.

Clauses are of IEC 60870-5-101:2003, 7.2.6 (elements) and 7.3 (ASDUs); 60870-5-104 takes a part of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cityguard.decoders.wire.numbers import single

Said = tuple[str, str]
"""Value of one object, and what qualifies it ("" = nothing to tell)."""
Element = Callable[[bytes, int], Said]

_I16, _I32, _R32, _U16, _U32 = (struct.Struct(form) for form in ("<h", "<i", "<f", "<H", "<I"))
_QUALITIES = ((0x01, "ov"), (0x08, "ei"), (0x10, "bl"), (0x20, "sb"), (0x40, "nt"), (0x80, "iv"))


def _names(mask: int) -> tuple[str, ...]:
    """What a quality octet says under a mask, for each of its 256 values."""
    return tuple("+".join(name for bit, name in _QUALITIES if octet & bit & mask) for octet in range(256))


_QDS, _SIQ, _QDP = _names(0xF1), _names(0xF0), _names(0xF8)
_COUNTER = tuple(
    "+".join(name for bit, name in ((0x20, "cy"), (0x40, "ca"), (0x80, "iv")) if octet & bit) for octet in range(256)
)


def _real(raw: bytes, at: int) -> str:
    """A short floating-point number (7.2.6.8)."""
    return single(_R32.unpack_from(raw, at)[0])


def _siq(raw: bytes, at: int) -> Said:
    return "01"[raw[at] & 1], _SIQ[raw[at]]


def _diq(raw: bytes, at: int) -> Said:
    return "0123"[raw[at] & 3], _SIQ[raw[at]]


def _vti(raw: bytes, at: int) -> Said:
    """Value with transient state: seven bits signed, the eighth tells that it moves (7.2.6.5)."""
    value = (raw[at] & 0x7F ^ 0x40) - 0x40
    quality = _QDS[raw[at + 1]]
    return str(value), ("transient+" + quality).rstrip("+") if raw[at] & 0x80 else quality


def _bsi(raw: bytes, at: int) -> Said:
    return str(_U32.unpack_from(raw, at)[0]), _QDS[raw[at + 4]]


def _nva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0] / 32768), _QDS[raw[at + 2]]


def _sva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0]), _QDS[raw[at + 2]]


def _r32(raw: bytes, at: int) -> Said:
    return _real(raw, at), _QDS[raw[at + 4]]


def _bcr(raw: bytes, at: int) -> Said:
    return str(_I32.unpack_from(raw, at)[0]), _COUNTER[raw[at + 4]]


def _associated(raw: bytes, at: int) -> Said:
    """An integrated total of a secured association, whose number stands before it (IEC 60870-5-7, 7.2)."""
    value, quality = _bcr(raw, at + 2)
    return value, f"association={_U16.unpack_from(raw, at)[0]}" + (f"+{quality}" if quality else "")


def _scd(raw: bytes, at: int) -> Said:
    """Sixteen states and which of them changed (7.2.6.40)."""
    state, changed = _U16.unpack_from(raw, at)[0], _U16.unpack_from(raw, at + 2)[0]
    quality = _QDS[raw[at + 4]]
    return str(state), f"changed={changed}" + (f"+{quality}" if quality else "")


def _nva_alone(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0] / 32768), ""


def _sep(raw: bytes, at: int) -> Said:
    """Event of protection equipment, its elapsed time in ms (7.2.6.10)."""
    quality = _QDP[raw[at] & 0xF8]
    return str(raw[at] & 3), f"ms={_U16.unpack_from(raw, at + 1)[0]}" + (f"+{quality}" if quality else "")


def _spe(raw: bytes, at: int) -> Said:
    quality = _QDP[raw[at + 1]]
    return str(raw[at]), f"ms={_U16.unpack_from(raw, at + 2)[0]}" + (f"+{quality}" if quality else "")


def _order(mask: int) -> Element:
    """SCO, DCO, RCO: a state, a qualifier and select or execute (7.2.6.15-17)."""

    def read(raw: bytes, at: int) -> Said:
        octet = raw[at]
        qualifier = octet >> 2 & 0x1F
        return str(octet & mask), ("select" if octet & 0x80 else "execute") + (f"+qu={qualifier}" if qualifier else "")

    return read


def _qos(octet: int) -> str:
    """Qualifier of set-point command (7.2.6.39)."""
    level = octet & 0x7F
    return ("select" if octet & 0x80 else "execute") + (f"+ql={level}" if level else "")


def _set_nva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0] / 32768), _qos(raw[at + 2])


def _set_sva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0]), _qos(raw[at + 2])


def _set_r32(raw: bytes, at: int) -> Said:
    return _real(raw, at), _qos(raw[at + 4])


def _bits(raw: bytes, at: int) -> Said:
    return str(_U32.unpack_from(raw, at)[0]), ""


def _octet(raw: bytes, at: int) -> Said:
    return str(raw[at]), ""


def _word(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), ""


def _par_nva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0] / 32768), f"qpm={raw[at + 2]}"


def _par_sva(raw: bytes, at: int) -> Said:
    return str(_I16.unpack_from(raw, at)[0]), f"qpm={raw[at + 2]}"


def _par_r32(raw: bytes, at: int) -> Said:
    return _real(raw, at), f"qpm={raw[at + 4]}"


def _clock(raw: bytes, at: int) -> Said:
    return long_time(raw, at), ""


def _none(raw: bytes, at: int) -> Said:
    return "", ""


def _file_ready(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), f"bytes={int.from_bytes(raw[at + 2 : at + 5], 'little')}+q={raw[at + 5]}"


def _section_ready(raw: bytes, at: int) -> Said:
    size = int.from_bytes(raw[at + 3 : at + 6], "little")
    return str(_U16.unpack_from(raw, at)[0]), f"section={raw[at + 2]}+bytes={size}+q={raw[at + 6]}"


def _file_call(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), f"section={raw[at + 2]}+q={raw[at + 3]}"


def _file_last(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), f"section={raw[at + 2]}+q={raw[at + 3]}+checksum={raw[at + 4]}"


def _segment(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), f"section={raw[at + 2]}+bytes={raw[at + 3]}"


def _directory(raw: bytes, at: int) -> Said:
    size = int.from_bytes(raw[at + 2 : at + 5], "little")
    return str(_U16.unpack_from(raw, at)[0]), f"bytes={size}+status={raw[at + 5]}"


def _query(raw: bytes, at: int) -> Said:
    return str(_U16.unpack_from(raw, at)[0]), f"from={long_time(raw, at + 2)}+to={long_time(raw, at + 9)}"


def short_time(raw: bytes, at: int) -> str:
    """CP24Time2a (7.2.6.19): minute and second of an unknown hour."""
    millis = _U16.unpack_from(raw, at)[0]
    doubt = " iv" if raw[at + 2] & 0x80 else ""
    return f"{raw[at + 2] & 0x3F:02}:{millis // 1000:02}.{millis % 1000:03}{doubt}"


def long_time(raw: bytes, at: int) -> str:
    """CP56Time2a (7.2.6.18), in the station's own zone."""
    millis = _U16.unpack_from(raw, at)[0]
    minute, hour, day, month, year = raw[at + 2 : at + 7]
    return (
        f"20{year & 0x7F:02}-{month & 15:02}-{day & 31:02}T{hour & 31:02}:{minute & 63:02}:{millis // 1000:02}."
        f"{millis % 1000:03}{' su' if hour & 0x80 else ''}{' iv' if minute & 0x80 else ''}"
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """One type identification."""

    name: str
    klass: str | None
    size: int
    """Bytes of an element, without its time."""
    element: Element
    time: int = 0
    """Bytes of the time tag: 0, 3 or 7."""
    free: bool = False
    """The object goes on to the end of the ASDU."""


def _monitored() -> dict[int, Kind]:
    """Process information in monitor direction: data without a class."""
    elements: tuple[tuple[int, int, int, str, int, Element], ...] = (
        (1, 2, 30, "SP", 1, _siq),
        (3, 4, 31, "DP", 1, _diq),
        (5, 6, 32, "ST", 2, _vti),
        (7, 8, 33, "BO", 5, _bsi),
        (9, 10, 34, "ME", 3, _nva),
        (11, 12, 35, "ME", 3, _sva),
        (13, 14, 36, "ME", 5, _r32),
        (15, 16, 37, "IT", 5, _bcr),
    )
    found = {}
    for plain, short, long, what, size, element in elements:
        letter = {11: "B", 13: "C"}.get(plain, "A")
        tagged = {"A": "D" if what == "ME" else "B", "B": "E", "C": "F"}[letter]
        found[plain] = Kind(f"M_{what}_N{letter}_1", None, size, element)
        found[short] = Kind(f"M_{what}_T{letter}_1", None, size, element, 3)
        found[long] = Kind(f"M_{what}_T{tagged}_1", None, size, element, 7)
    for letter, tagged, plain, long, size, element in (
        ("A", "D", 17, 38, 3, _sep),
        ("B", "E", 18, 39, 4, _spe),
        ("C", "F", 19, 40, 4, _spe),
    ):
        found[plain] = Kind(f"M_EP_T{letter}_1", None, size, element, 3)
        found[long] = Kind(f"M_EP_T{tagged}_1", None, size, element, 7)
    return found


TYPES: dict[int, Kind] = {
    **_monitored(),
    20: Kind("M_PS_NA_1", None, 5, _scd),
    21: Kind("M_ME_ND_1", None, 2, _nva_alone),
    41: Kind("S_IT_TC_1", None, 7, _associated, 7),
    45: Kind("C_SC_NA_1", "control", 1, _order(1)),
    46: Kind("C_DC_NA_1", "control", 1, _order(3)),
    47: Kind("C_RC_NA_1", "control", 1, _order(3)),
    48: Kind("C_SE_NA_1", "write", 3, _set_nva),
    49: Kind("C_SE_NB_1", "write", 3, _set_sva),
    50: Kind("C_SE_NC_1", "write", 5, _set_r32),
    51: Kind("C_BO_NA_1", "write", 4, _bits),
    58: Kind("C_SC_TA_1", "control", 1, _order(1), 7),
    59: Kind("C_DC_TA_1", "control", 1, _order(3), 7),
    60: Kind("C_RC_TA_1", "control", 1, _order(3), 7),
    61: Kind("C_SE_TA_1", "write", 3, _set_nva, 7),
    62: Kind("C_SE_TB_1", "write", 3, _set_sva, 7),
    63: Kind("C_SE_TC_1", "write", 5, _set_r32, 7),
    64: Kind("C_BO_TA_1", "write", 4, _bits, 7),
    70: Kind("M_EI_NA_1", None, 1, _octet),
    **{
        code: Kind(name, None, 0, _none, free=True)
        for code, name in (
            (81, "S_CH_NA_1"),
            (82, "S_RP_NA_1"),
            (83, "S_AR_NA_1"),
            (84, "S_KR_NA_1"),
            (85, "S_KS_NA_1"),
            (86, "S_KC_NA_1"),
            (87, "S_ER_NA_1"),
            (90, "S_US_NA_1"),
            (91, "S_UQ_NA_1"),
            (92, "S_UR_NA_1"),
            (93, "S_UK_NA_1"),
            (94, "S_UA_NA_1"),
            (95, "S_UC_NA_1"),
        )
    },
    100: Kind("C_IC_NA_1", "read", 1, _octet),
    101: Kind("C_CI_NA_1", "read", 1, _octet),
    102: Kind("C_RD_NA_1", "read", 0, _none),
    103: Kind("C_CS_NA_1", "write", 7, _clock),
    104: Kind("C_TS_NA_1", "diagnostic", 2, _word),
    105: Kind("C_RP_NA_1", "control", 1, _octet),
    106: Kind("C_CD_NA_1", "diagnostic", 2, _word),
    107: Kind("C_TS_TA_1", "diagnostic", 2, _word, 7),
    110: Kind("P_ME_NA_1", "write", 3, _par_nva),
    111: Kind("P_ME_NB_1", "write", 3, _par_sva),
    112: Kind("P_ME_NC_1", "write", 5, _par_r32),
    113: Kind("P_AC_NA_1", "control", 1, _octet),
    120: Kind("F_FR_NA_1", "program", 6, _file_ready),
    121: Kind("F_SR_NA_1", "program", 7, _section_ready),
    122: Kind("F_SC_NA_1", "read", 4, _file_call),
    123: Kind("F_LS_NA_1", "program", 5, _file_last),
    124: Kind("F_AF_NA_1", "program", 4, _file_call),
    125: Kind("F_SG_NA_1", "program", 4, _segment, free=True),
    126: Kind("F_DR_TA_1", "read", 6, _directory, 7),
    127: Kind("F_SC_NB_1", "read", 16, _query),
}

CAUSES = {
    1: "periodic",
    2: "background",
    3: "spontaneous",
    4: "initialised",
    5: "request",
    6: "activation",
    7: "activation confirmation",
    8: "deactivation",
    9: "deactivation confirmation",
    10: "activation termination",
    11: "return remote",
    12: "return local",
    13: "file transfer",
    14: "authentication",
    15: "session key maintenance",
    16: "user role maintenance",
    20: "interrogated by station",
    **{20 + group: f"interrogated by group {group}" for group in range(1, 17)},
    37: "counter interrogation",
    **{37 + group: f"counter interrogation of group {group}" for group in range(1, 5)},
    44: "unknown type",
    45: "unknown cause",
    46: "unknown common address",
    47: "unknown object address",
}
