# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""The video platform and a recorder of six cameras (GB/T 28181), and a host that blinds them in the platform's name."""

import hashlib
import random
import struct

from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/video")
DOMAIN = plan.VIDEO_PLATFORM_ID[:10]
PASSWORD = "".join(RNG.choices("abcdefghkmnpqrstuvwxyz23456789", k=14))
USUAL = 5060
LIVE = "0100000001"  # live, the five digits of the domain, the first stream
PS_PACK = bytes.fromhex("000001ba44000400040100138ff8")


def craft():
    capture = Capture(vlan=71, rng=RNG)
    talk = Talk(capture)
    clean(talk)
    blinded(talk)
    capture.write(
        "video-blinding",
        ("视频平台被冒用，摄像机停录撤防", "Cameras blinded in the name of the video platform"),
        [
            "cityguard.network.unregistered_host",
            "cityguard.ot.command_unregistered",
            "cityguard.ot.gb28181_blinding",
            "cityguard.ot.gb28181_command_other_server",
        ],
        exact=True,
    )


class Talk:
    """SIP between the platform, the recorder and whoever claims to be one of them."""

    def __init__(self, capture):
        self.capture = capture
        self.number = 100

    def say(self, minute, source, destination, first, sender, receiver, call, order, headers=(), body=("", "")):
        kind, text = body
        raw = text.encode("gb18030")
        lines = [
            first,
            f"Via: SIP/2.0/UDP {source}:{USUAL};rport;branch=z9hG4bK{call}{order.split()[0]}",
            f"From: <sip:{sender}@{DOMAIN}>;tag={call[:4]}",
            f"To: <sip:{receiver}@{DOMAIN}>",
            f"Call-ID: {call}@{DOMAIN}",
            f"CSeq: {order}",
            *headers,
            "Max-Forwards: 70",
            *([f"Content-Type: {kind}"] if kind else []),
            f"Content-Length: {len(raw)}",
            "",
            "",
        ]
        payload = "\r\n".join(lines).encode() + raw
        self.capture.udp(moment(minute), source, destination, USUAL, USUAL, payload)

    def next(self):
        self.number += 1
        return f"{RNG.randrange(10**8):08}", self.number

    def message(self, minute, source, destination, sender, receiver, text):
        """A MESSAGE and its 200."""
        call, number = self.next()
        order = f"{number} MESSAGE"
        first = f"MESSAGE sip:{receiver}@{destination}:{USUAL} SIP/2.0"
        body = ("Application/MANSCDP+xml", text)
        self.say(minute, source, destination, first, sender, receiver, call, order, body=body)
        self.say(minute + 0.0004, destination, source, "SIP/2.0 200 OK", sender, receiver, call, order)

    def up(self, minute, text):
        """From the recorder to its platform."""
        ids = (plan.VIDEO_NVR_ID, plan.VIDEO_PLATFORM_ID)
        self.message(minute, plan.VIDEO_NVR, plan.VIDEO_PLATFORM, *ids, text)

    def down(self, minute, text, source=plan.VIDEO_PLATFORM):
        """In the platform's name to the recorder."""
        ids = (plan.VIDEO_PLATFORM_ID, plan.VIDEO_NVR_ID)
        self.message(minute, source, plan.VIDEO_NVR, *ids, text)


def xml(root, command, number, device, rest=""):
    head = '<?xml version="1.0" encoding="GB2312"?>\r\n'
    names = f"<CmdType>{command}</CmdType>\r\n<SN>{number}</SN>\r\n<DeviceID>{device}</DeviceID>\r\n"
    return f"{head}<{root}>\r\n{names}{rest}</{root}>\r\n"


def md5(text):
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def register(talk, minute):
    """Asked for credentials, then let in."""
    nvr, platform, nonce = plan.VIDEO_NVR_ID, plan.VIDEO_PLATFORM_ID, f"{RNG.randrange(2**64):016x}"
    call, _ = talk.next()
    uri = f"sip:{platform}@{DOMAIN}"
    first = f"REGISTER {uri} SIP/2.0"
    usual = (f"Contact: <sip:{nvr}@{plan.VIDEO_NVR}:{USUAL}>", "Expires: 3600", "User-Agent: NVR/3.1")
    response = md5(f"{md5(f'{nvr}:{DOMAIN}:{PASSWORD}')}:{nonce}:{md5(f'REGISTER:{uri}')}")
    names = f'username="{nvr}",realm="{DOMAIN}",nonce="{nonce}",uri="{uri}",response="{response}",algorithm=MD5'
    there, back = (plan.VIDEO_NVR, plan.VIDEO_PLATFORM), (plan.VIDEO_PLATFORM, plan.VIDEO_NVR)
    challenge = f'WWW-Authenticate: Digest realm="{DOMAIN}",nonce="{nonce}",algorithm=MD5'
    date = plan.at(minute).strftime("Date: %Y-%m-%dT%H:%M:%S.000")
    talk.say(minute, *there, first, nvr, nvr, call, "1 REGISTER", usual)
    talk.say(minute + 0.001, *back, "SIP/2.0 401 Unauthorized", nvr, nvr, call, "1 REGISTER", (challenge,))
    talk.say(minute + 0.002, *there, first, nvr, nvr, call, "2 REGISTER", (*usual, f"Authorization: Digest {names}"))
    talk.say(minute + 0.003, *back, "SIP/2.0 200 OK", nvr, nvr, call, "2 REGISTER", (date, "Expires: 3600"))


def catalog(talk, minute, number):
    """All cameras, three to a message."""
    talk.down(minute, xml("Query", "Catalog", number, plan.VIDEO_NVR_ID))
    for part in (0, 3):
        cameras = plan.VIDEO_CAMERAS[part : part + 3]
        items = "".join(
            f"<Item>\r\n<DeviceID>{camera}</DeviceID>\r\n<Name>滨河路口{part + at + 1}号</Name>\r\n"
            f"<CivilCode>{plan.CIVIL}</CivilCode>\r\n<Status>ON</Status>\r\n</Item>\r\n"
            for at, camera in enumerate(cameras)
        )
        rest = f'<SumNum>{len(plan.VIDEO_CAMERAS)}</SumNum>\r\n<DeviceList Num="{len(cameras)}">\r\n{items}</DeviceList>\r\n'
        talk.up(minute + 0.01 + part / 100, xml("Response", "Catalog", number, plan.VIDEO_NVR_ID, rest))


def play(talk, minute, camera, length):
    """A live picture on the platform's wall, with its stream."""
    call, number = talk.next()
    ids, order = (plan.VIDEO_PLATFORM_ID, camera), f"{number} INVITE"
    down, up = (plan.VIDEO_PLATFORM, plan.VIDEO_NVR), (plan.VIDEO_NVR, plan.VIDEO_PLATFORM)
    uri = f"sip:{camera}@{plan.VIDEO_NVR}:{USUAL}"

    def sdp(owner, address, port, way):
        return (
            "APPLICATION/SDP",
            f"v=0\r\no={owner} 0 0 IN IP4 {address}\r\ns=Play\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=video {port} RTP/AVP 96\r\na={way}\r\na=rtpmap:96 PS/90000\r\ny={LIVE}\r\n",
        )

    subject = (f"Subject: {camera}:{LIVE},{plan.VIDEO_PLATFORM_ID}:0",)
    asked, given = (
        sdp(plan.VIDEO_PLATFORM_ID, plan.VIDEO_MEDIA, 30_000, "recvonly"),
        sdp(camera, plan.VIDEO_NVR, 15_062, "sendonly"),
    )
    talk.say(minute, *down, f"INVITE {uri} SIP/2.0", *ids, call, order, subject, asked)
    talk.say(minute + 0.001, *up, "SIP/2.0 100 Trying", *ids, call, order)
    talk.say(minute + 0.004, *up, "SIP/2.0 200 OK", *ids, call, order, (), given)
    talk.say(minute + 0.005, *down, f"ACK {uri} SIP/2.0", *ids, call, f"{number} ACK")
    for at in range(60):
        head = struct.pack(">BBHII", 0x80, 0x80 | 96, at, 3_600 * at, int(LIVE))
        picture = PS_PACK + b"\0\0\1\xe0" + RNG.randbytes(600)
        when = moment(minute + 0.01 + at * length / 62)
        talk.capture.udp(when, plan.VIDEO_NVR, plan.VIDEO_MEDIA, 15_062, 30_000, head + picture)
    talk.say(minute + length, *down, f"BYE {uri} SIP/2.0", *ids, call, f"{number + 1} BYE")
    talk.say(minute + length + 0.001, *up, "SIP/2.0 200 OK", *ids, call, f"{number + 1} BYE")


def ptz(instruction, pan, tilt):
    octets = bytes((0xA5, 0x0F, 0x01, instruction, pan, tilt, 0))
    return f"<PTZCmd>{(octets + bytes((sum(octets) % 256,))).hex().upper()}</PTZCmd>\r\n"


def clean(talk):
    """Fifty minutes of an ordinary evening."""
    register(talk, 1)
    for minute in range(2, 51):
        talk.up(minute, xml("Notify", "Keepalive", minute, plan.VIDEO_NVR_ID, "<Status>OK</Status>\r\n"))
    catalog(talk, 3.2, 17_001)
    talk.down(4.3, xml("Query", "DeviceStatus", 17_002, plan.VIDEO_NVR_ID))
    status = "<Result>OK</Result>\r\n<Online>ONLINE</Online>\r\n<Status>OK</Status>\r\n"
    talk.up(4.32, xml("Response", "DeviceStatus", 17_002, plan.VIDEO_NVR_ID, status))
    play(talk, 8.5, plan.VIDEO_CAMERAS[0], 6)
    for at, move in enumerate((0x02, 0x00, 0x08, 0x00)):
        text = xml("Control", "DeviceControl", 17_010 + at, plan.VIDEO_CAMERAS[0], ptz(move, 0x40, 0x40))
        talk.down(10.1 + at * 0.05, text)
    alarm = f"<AlarmPriority>4</AlarmPriority>\r\n<AlarmMethod>5</AlarmMethod>\r\n<AlarmTime>{plan.at(20.4):%Y-%m-%dT%H:%M:%S}</AlarmTime>\r\n"
    talk.up(20.4, xml("Notify", "Alarm", 901, plan.VIDEO_CAMERAS[2], alarm))
    catalog(talk, 33.2, 17_030)


def blinded(talk):
    """A host in the cabinet at the roadside speaks as the platform: recording off, guard off, camera after camera."""
    for at, camera in enumerate(plan.VIDEO_CAMERAS):
        orders = ("<RecordCmd>StopRecord</RecordCmd>\r\n", "<GuardCmd>ResetGuard</GuardCmd>\r\n")
        for step, order in enumerate(orders):
            text = xml("Control", "DeviceControl", 5_000 + 2 * at + step, camera, order)
            talk.down(41.3 + at * 0.12 + step * 0.03, text, source=plan.VIDEO_INTRUDER)
