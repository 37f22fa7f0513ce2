"""The other end of a card that offers offloads: Linux' own stack behind a tap. Run in a network namespace of its own.

usage: offloads.py BESPOKE FOLDER MACHINE on|off      boots FOLDER/app.toml, an echo at port 7; fails with a traceback
"""
import fcntl
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

TAP = "tap0"
GUEST = "10.0.2.15"
GUEST_6 = "fe80::5054:ff:fe12:3456"
GUEST_MAC = bytes([0x52, 0x54, 0, 0x12, 0x34, 0x56])
PEER = "10.0.2.2"
PATIENCE = 240

# <linux/if_tun.h>, <linux/sockios.h>, <linux/if_packet.h>, <linux/virtio_net.h>
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_UP_RUNNING = 2, 0x1000, 0x4000, 0x41
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, SIOCGIFHWADDR = 0x8916, 0x891C, 0x8914, 0x8927
SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 3
NEEDS_CSUM = 1
VNET_HEADER = 10


def make_tap():
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", TAP.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tun, TUNSETPERSIST, 1)
    os.close(tun)
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = lambda text: struct.pack("16sHH4s8x", TAP.encode(), socket.AF_INET, 0, socket.inet_aton(text))
    fcntl.ioctl(control, SIOCSIFADDR, address(PEER))
    fcntl.ioctl(control, SIOCSIFNETMASK, address("255.255.255.0"))
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", TAP.encode(), IFF_UP_RUNNING))
    return fcntl.ioctl(control, SIOCGIFHWADDR, struct.pack("40s", TAP.encode()))[18:24]


class Watch(threading.Thread):
    """Counts what goes by: frames from the guest whose checksums were left to be added, and frames that are many joined."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.bind((TAP, 0))
        self.unsummed = {}
        self.joined = 0

    def run(self):
        while True:
            whole = self.socket.recv(1 << 17)
            header, frame = whole[:VNET_HEADER], whole[VNET_HEADER:]
            if frame[6:12] != GUEST_MAC:
                self.joined += len(frame) > 2000
                continue
            kind = frame[12:14] + (frame[23:24] if frame[12:14] == b"\x08\0" else frame[20:21])
            self.unsummed[kind] = self.unsummed.get(kind, 0) + (header[0] & NEEDS_CSUM)


def connect(address, family):
    """The guest's stack may not be up yet, nor this machine's address."""
    deadline = time.time() + PATIENCE
    while True:
        try:
            stream = socket.socket(family, socket.SOCK_STREAM)
            stream.settimeout(PATIENCE)
            stream.connect(address)
            return stream
        except OSError:
            if time.time() > deadline:
                raise
            time.sleep(0.1)


def over_tcp(address, family, amount):
    sent = random.Random(amount).randbytes(amount)
    stream = connect(address, family)
    writer = threading.Thread(target=lambda: stream.sendall(sent))
    writer.start()
    got = bytearray()
    while len(got) < amount:
        more = stream.recv(1 << 16)
        assert more, f"the stream of {address} ended after {len(got)} bytes"
        got += more
    writer.join()
    assert got == sent, f"what came over {address} is not what was sent"


def over_udp(address, family):
    for size in [1, 2, 3, 100, 1001, 1452, 1472, 4001, 9000]:
        sent = random.Random(size).randbytes(size)
        with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            datagrams.sendto(sent, address)
            assert datagrams.recv(1 << 16) == sent, f"{size} bytes over {address}"


def fold(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def by_hand(mac):
    """Datagrams as frames: none vouched for and wrong, none vouched for and right, and with the sum left to whoever takes it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW
    ) as wire:
        wire.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        wire.bind((TAP, 0))
        datagrams.bind((PEER, 0))
        datagrams.settimeout(PATIENCE)

        def send(payload, change, partial):
            length = 8 + len(payload)
            pseudo = socket.inet_aton(PEER) + socket.inet_aton(GUEST) + struct.pack("!HH", 17, length)
            header = struct.pack("!HHHH", datagrams.getsockname()[1], 7, length, 0)
            right = fold(pseudo) if partial else 0xFFFF - fold(pseudo + header + payload)
            header = header[:6] + struct.pack("!H", right ^ change)
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + pseudo[:8]
            ip = ip[:10] + struct.pack("!H", 0xFFFF - fold(ip)) + ip[12:]
            vnet = struct.pack("<BBHHHH", NEEDS_CSUM if partial else 0, 0, 0, 0, 34 if partial else 0, 6 if partial else 0)
            wire.send(vnet + GUEST_MAC + mac + b"\x08\0" + ip + header + payload)

        for partial in [False, True]:
            send(b"with a wrong checksum", 0x0101, False)
            send(b"right", 0, partial)
            got = datagrams.recv(1000)
            assert got == b"right", got


def main():
    bespoke, folder, machine, offloads = sys.argv[1:]
    mac = make_tap()
    watch = Watch()
    watch.start()
    guest = subprocess.Popen(
        [bespoke, "run", "app.toml", "--net", f"tap:{TAP}", "--machine", machine],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    try:
        line = guest.stdout.readline()
        assert b"ready" in line, line
        six = (GUEST_6, 7, 0, socket.if_nametoindex(TAP))
        for address, family in [((GUEST, 7), socket.AF_INET), (six, socket.AF_INET6)]:
            over_tcp(address, family, 3_000_001)
            over_udp(address, family)
        by_hand(mac)
        # All four of them left the sum to be added, or none did.
        protocols = [b"\x08\0\x06", b"\x08\0\x11", b"\x86\xdd\x06", b"\x86\xdd\x11"]
        left = [bool(watch.unsummed.get(protocol)) for protocol in protocols]
        assert left == [offloads == "on"] * 4, watch.unsummed
        assert (watch.joined > 0) == (offloads == "on"), watch.joined
        stream = connect((GUEST, 7), socket.AF_INET)
        stream.sendall(b"quit")
        assert guest.wait(PATIENCE) == 5
    finally:
        guest.kill()
        guest.wait()
    print("done")


main()
