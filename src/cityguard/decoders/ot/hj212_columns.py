"""Ordinary HJ 212 frames of a piece as one table: the same rows as ``hj212_row`` makes one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import passwords
from cityguard.decoders.events import Ends, count, keyed, moment
from cityguard.decoders.ot import hj212_fast as fast
from cityguard.decoders.ot import hj212_names as names
from cityguard.decoders.ot.hj212_row import MAX_TEXT
from cityguard.decoders.packet import Bools, Words
from cityguard.decoders.wire.gather import texts

_LETTERS = sorted(fast.LETTERS_OF)
_BIT = {letter: fast.LETTERS_OF.index(letter) for letter in _LETTERS}


@dataclass(frozen=True, slots=True)
class Cut:
    """Ordinary frames, one entry each; ``rows`` as ``hj212_fast.cut`` fills them."""

    data: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]

    def column(self, which: int) -> Words:
        found: Words = self.rows[:, which]
        return found

    def text(self, at: int, end: int | None = None, *, size: int = 0) -> pl.Series:
        """The texts between two places, or of one size; null where there is none."""
        begin = self.column(at)
        stop = begin + size if end is None else self.column(end)
        return texts(self.data, begin, stop)

    @property
    def numbers(self) -> pl.Series:
        """QN, of some answers the one inside CP."""
        return self.text(fast.NUMBER, size=17)

    @property
    def asks(self) -> Bools:
        found: Bools = self.column(fast.KIND) == fast.REQUEST
        return found

    @property
    def addresses(self) -> pl.Series:
        """The factor, or factor/parameter, or the parameter alone."""
        factor = self.text(fast.POL, fast.POL_END)
        if not (self.column(fast.PARAMETER) >= 0).any():
            return factor
        both = pl.DataFrame({"factor": factor, "parameter": self.text(fast.PARAMETER, fast.PARAMETER_END)})
        return (
            both.select(pl.concat_str("factor", "parameter", separator="/", ignore_nulls=True))
            .to_series()
            .set(both["factor"].is_null() & both["parameter"].is_null(), None)
        )

    @property
    def wants_answer(self) -> Bools:
        flag = self.column(fast.FLAG)
        found: Bools = (flag > 0) & (flag & 1 > 0)
        return found


def cut(data: npt.NDArray[np.uint8], starts: Words, stops: Words) -> tuple[Cut, Bools]:
    """Cut frames; which of them are ordinary, and those."""
    rows = np.empty((len(starts), fast.COLUMNS), np.int64)
    good = np.zeros(len(starts), np.bool_)
    seen = np.zeros(fast.MAX_FACTORS, np.int64)
    fast.cut(data, starts, stops, rows, good, seen, (fast.CHECK, fast.LAST, fast.KINDS))
    return Cut(data, rows[good]), good


def table(one: Cut, ends: Ends, classes: pl.Series, addresses: pl.Series) -> pl.DataFrame:
    """The rows of ordinary frames.

    Args:
        one: the frames.
        ends: when and between whom.
        classes: of answers, the class of what they answer; else null.
        addresses: of answers, its address; else null.
    """
    code, flag = one.column(fast.CN), np.maximum(one.column(fast.FLAG), 0)
    asks = one.asks
    status = one.text(fast.STATUS, fast.STATUS_END)
    failed = status.is_not_null() & (status != "1")
    name, klass = _named(code)
    head = pl.DataFrame(
        [
            pl.Series("ot.protocol", ["hj212"], pl.String).new_from_index(0, len(code)),
            pl.Series("ot.function.code", code, pl.Int32),
            name.alias("ot.function.name"),
            klass.zip_with(classes.is_null(), classes).set(failed, "error").alias("ot.function.class"),
            one.text(fast.MN, fast.MN_END).alias("ot.unit_id"),
            one.addresses.zip_with(addresses.is_null(), addresses).alias("ot.address"),
            _quantity(one).alias("ot.quantity"),
            _value(one, klass).alias("ot.value"),
            status.alias("ot.status"),
            _KINDS[one.column(fast.KIND)].alias("ot.message.type"),
            pl.Series("ot.is_request", asks),
            one.numbers.alias("ot.request_id"),
            _EDITIONS[np.minimum(flag >> 2, 3)].alias("ot.edition"),
            *_times(one.column(fast.TIME), ends.time),
            _SYSTEMS[one.column(fast.ST)].alias("ot.station_kind"),
            pl.Series("ot.encrypted", [False]).new_from_index(0, len(code)),
            _flags(one.column(fast.LETTERS), flag).alias("ot.flags"),
            _fields(one).alias("event.fields"),
            pl.Series("network.protocol", ["hj212"], pl.String).new_from_index(0, len(code)),
        ]
    )
    return pl.concat([keyed(ends), head, _passwords(one)], how="horizontal")


_KINDS = pl.Series(["request", "upload", "response"], dtype=pl.String)
_EDITIONS = pl.Series([*names.EDITIONS, None], dtype=pl.String)
_SYSTEMS = pl.Series([names.system(f"{code:02}") for code in range(100)], dtype=pl.String)
_CODES = sorted(names.COMMANDS)
_NAMES = pl.Series([names.COMMANDS[code][0] for code in _CODES], dtype=pl.String)
_CLASSES = pl.Series([names.COMMANDS[code][1] for code in _CODES], dtype=pl.String)


def _named(code: Words) -> tuple[pl.Series, pl.Series]:
    """Name and class of codes that are all known."""
    place = np.searchsorted(np.array(_CODES), code)
    return _NAMES[place], _CLASSES[place]


def classes(code: Words) -> list[str | None]:
    """Class of each of some codes that are all known."""
    return _named(code)[1].to_list()


def _value(one: Cut, klass: pl.Series) -> pl.Series:
    """What a request sets."""
    sets = one.asks & (one.column(fast.OTHERS) > 0)
    begin, stop = one.column(fast.VALUE), one.column(fast.VALUE_END)
    begin = np.where(sets & (stop > begin), begin, -1)
    found = texts(one.data, begin, np.minimum(stop, begin + MAX_TEXT))
    return found.set(~klass.is_in(["write", "control", "program"]), None)


def _quantity(one: Cut) -> pl.Series:
    factors = one.column(fast.FACTORS)
    found = count(np.where(factors > 0, factors, -1)).cast(pl.Int32)
    if not (one.column(fast.PNUM) >= 0).any():
        return found
    packets = one.text(fast.PNUM, fast.PNUM_END).cast(pl.Int32)
    return found.zip_with(packets.is_null(), packets)


def _times(told: Words, captured: Words) -> list[pl.Series]:
    offset = pl.Series("ot.time_offset", (told * 1_000 - captured) / 1e9)
    return [moment(told * 1_000).alias("ot.time"), offset.set(pl.Series((captured <= 0) | (told < 0)), None)]


def _flags(letters: Words, flag: Words) -> pl.Series:
    """Letters of the data's flags, and ``split``."""
    every, place = np.unique(letters << 1 | (flag >> 1 & 1), return_inverse=True)
    told = [_told(value) for value in every.tolist()]
    every_told = pl.Series(told, dtype=pl.List(pl.String))
    return every_told.gather(place.ravel())


def _told(value: int) -> list[str] | None:
    letters = [letter for letter in _LETTERS if value >> 1 >> _BIT[letter] & 1][:16]
    return letters + (["split"] if value & 1 else []) or None


def _fields(one: Cut) -> pl.Series:
    """Flag, packet numbers and CP as JSON; there is nothing in them that JSON would write otherwise."""
    begin, stop = one.column(fast.CP), one.column(fast.CP_END)
    parts = {"flag": count(one.column(fast.FLAG)), "cp": texts(one.data, begin, np.minimum(stop, begin + MAX_TEXT))}
    frame = pl.DataFrame(parts)
    packets = pl.lit("")
    if (one.column(fast.PNUM) >= 0).any():
        frame = frame.with_columns(
            one.text(fast.PNUM, fast.PNUM_END).alias("pnum"), one.text(fast.PNO, fast.PNO_END).alias("pno")
        )
        told = pl.concat_str(pl.lit(',"PNUM":"'), "pnum", pl.lit('","PNO":"'), "pno", pl.lit('"'))
        packets = told.fill_null("")
    said = pl.when(pl.col("cp") != "").then(pl.concat_str(pl.lit(',"CP":"'), "cp", pl.lit('"')))
    flag = pl.concat_str(pl.lit(',"Flag":'), pl.col("flag").cast(pl.String)).fill_null("")
    told = pl.concat_str(flag, packets, said.otherwise(pl.lit("")))
    return frame.select(pl.concat_str(pl.lit("{"), told.str.slice(1), pl.lit("}"))).to_series()


def _passwords(one: Cut) -> pl.DataFrame:
    """What may be said of the passwords, each judged once."""
    both = pl.DataFrame({"pw": one.text(fast.PW, fast.PW_END), "mn": one.text(fast.MN, fast.MN_END)})
    every = both.unique(maintain_order=True)
    judged = [passwords.judge(pw.encode(), mn).columns() for pw, mn in every.iter_rows()]
    schema = {"ot.password.verdict": pl.String, "ot.password.length": pl.Int32, "ot.password.hash": pl.String}
    known = pl.concat([every, pl.DataFrame(judged, schema=schema)], how="horizontal")
    return both.join(known, on=["pw", "mn"], how="left", maintain_order="left").drop("pw", "mn")
