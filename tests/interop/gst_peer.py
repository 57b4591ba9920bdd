"""A WHEP player and a WHIP client made of GStreamer's webrtcbin; run by the system's Python, which has its bindings.

Prints one line of JSON: what was answered, and how many pictures and packets of sound were decoded until enough came.
"""

import argparse
import itertools
import json
import sys
import threading
import time
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

CAPS = {
    "H264": "application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "VP8": "application/x-rtp,media=video,encoding-name=VP8,payload=102,clock-rate=90000",
    "OPUS": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
}
DECODE = {
    "H264": "rtph264depay ! avdec_h264",
    "VP8": "rtpvp8depay ! vp8dec",
    "OPUS": "rtpopusdepay ! opusdec",
}
TIMEOUT_S = 120.0
FRAME_RATE_HZ = 25
BEGINNING = 10


class GstreamerPeer:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.counts = {"video": 0, "audio": 0}
        self.codecs: list[str] = []
        self.times_s: list[float] = []
        self.location = ""
        self.kept: list[object] = []
        self.pipeline = Gst.Pipeline.new("peer")
        self.webrtc = Gst.ElementFactory.make("webrtcbin", "webrtc")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)

    def watch(self, codec: str) -> None:
        for name in ("OPUS", codec):
            self.webrtc.emit(
                "add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(CAPS[name])
            )
        self.webrtc.connect("pad-added", self._pad_came)

    def publish(self, sound: str, codec: str) -> None:
        """Send a file's sound over and over, and a test picture, as programs for streams do."""
        encoder = {
            "VP8": "vp8enc deadline=1 ! rtpvp8pay pt=102",
            "H264": "x264enc tune=zerolatency ! rtph264pay pt=102",
        }
        spoken = Gst.parse_bin_from_description(
            f"multifilesrc location={sound} loop=true ! wavparse ignore-length=true ! audioconvert ! audioresample ! "
            "audio/x-raw,rate=48000,channels=1 ! identity sync=true ! opusenc ! rtpopuspay pt=111 ! "
            'capsfilter caps="application/x-rtp,encoding-name=OPUS,payload=111,media=audio,clock-rate=48000"',
            True,
        )
        picture = Gst.parse_bin_from_description(
            "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1 ! "
            f'{encoder[codec]} ! capsfilter caps="{CAPS[codec]}"',
            True,
        )
        for source in (spoken, picture):
            self.pipeline.add(source)
            source.link(self.webrtc)
        index = 0
        while (transceiver := self.webrtc.emit("get-transceiver", index)) is not None:
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
            index += 1

    def negotiate(self) -> str:
        needed = threading.Event()
        self.webrtc.connect("on-negotiation-needed", lambda _: needed.set())
        self.pipeline.set_state(Gst.State.PLAYING)
        assert needed.wait(TIMEOUT_S), "nothing to negotiate"
        offer = self._ask("create-offer", None, "offer")
        self._ask("set-local-description", offer)
        deadline = time.monotonic() + TIMEOUT_S
        while self.webrtc.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            assert time.monotonic() < deadline, "gathering takes too long"
            time.sleep(0.05)
        whole = self.webrtc.get_property("local-description").sdp.as_text()
        status, headers, answer = request(self.url, "POST", self.token, whole)
        assert status == 201, (status, answer)
        self.location = headers["location"]
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._ask("set-remote-description", described)
        return str(answer)

    def _ask(self, action: str, argument: object, wanted: str = "") -> object:
        promise = Gst.Promise.new()
        self.webrtc.emit(action, argument, promise)
        promise.wait()
        reply = promise.get_reply()
        self.kept += [promise, reply]  # they own what is in them
        return reply.get_value(wanted) if wanted else None

    def _pad_came(self, _: object, pad: Gst.Pad) -> None:
        if pad.direction != Gst.PadDirection.SRC:
            return
        facts = pad.get_current_caps().get_structure(0)
        codec, media = facts.get_string("encoding-name"), facts.get_string("media")
        self.codecs.append(codec)
        decoder = Gst.parse_bin_from_description(f"queue ! {DECODE[codec]} ! fakesink name=sink sync=false", True)
        sink = decoder.get_by_name("sink")
        sink.set_property("signal-handoffs", True)
        sink.connect("handoff", self._decoded, media)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def _decoded(self, _: object, buffer: Gst.Buffer, ___: object, media: str) -> None:
        self.counts[media] += 1
        if media == "video":
            self.times_s.append(buffer.pts / Gst.SECOND)

    @property
    def connected(self) -> bool:
        return bool(self.webrtc.get_property("connection-state") == GstWebRTC.WebRTCPeerConnectionState.CONNECTED)


def request(url: str, method: str, token: str, body: str = "") -> tuple[int, dict[str, str], str]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    asked = urllib.request.Request(url, body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["watch", "publish"])
    parser.add_argument("server")
    parser.add_argument("path")
    parser.add_argument("--token", default="")
    parser.add_argument("--codec", default="H264")
    parser.add_argument("--sound", default="")
    parser.add_argument("--enough", type=int, default=25)
    options = parser.parse_args()
    Gst.init(None)
    peer = GstreamerPeer(options.server + options.path, options.token)
    if options.action == "watch":
        peer.watch(options.codec)
    else:
        peer.publish(options.sound, options.codec)
    answer = peer.negotiate()
    deadline = time.monotonic() + TIMEOUT_S + 2 * options.enough / FRAME_RATE_HZ
    if options.action == "watch":
        while min(peer.counts.values()) < options.enough and time.monotonic() < deadline:
            time.sleep(0.05)
    else:
        while not peer.connected and time.monotonic() < deadline:
            time.sleep(0.05)
        print(json.dumps({"location": peer.location, "connected": peer.connected}), flush=True)
        sys.stdin.readline()  # speak until told to stop
    deleted, _, _ = request(options.server + peer.location, "DELETE", options.token)
    span_s = max(peer.times_s) - min(peer.times_s) if peer.times_s else 0.0
    times_s = sorted(peer.times_s)[BEGINNING:]
    found = {
        "span_s": span_s,
        "longest_gap_s": max((b - a for a, b in itertools.pairwise(times_s)), default=0.0),
        "counts": peer.counts,
        "codecs": sorted(peer.codecs),
        "deleted": deleted,
        "connected": peer.connected,
    }
    print(json.dumps({**found, "location": peer.location, "directions": answer.count("a=sendonly")}), flush=True)
    peer.pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
