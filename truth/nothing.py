"""Lines to which the data given holds no answer, and why each still stands: other data of the layout may."""

NO_DATA = {
    "bacnet | zeek-icsnpp | bacnet_device_control.log: service, state": "no baseline has this log",
    "cip | zeek-icsnpp | cip_io.log: connection, sequence, length, data": "no baseline has this log",
    "enip | zeek-icsnpp | cip_identity.log: address, vendor, kind, product, serial, name": "no baseline has this log",
    "sv | tshark | ASDU: frame, APPID, svID": "no capture holds sampled values",
    "eve | plain reading | line that is no event": "every line of the given files is an event",
}
"""The only lines that may say nothing on the given data; any other is a comparator that has lost its way."""
