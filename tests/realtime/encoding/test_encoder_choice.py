"""Encoders of cards, on a machine without one: what is asked of them, and what happens where they are not there."""

from pathlib import Path

import av
import pytest

from lipstream.realtime.encoding import encoder_choice
from lipstream.realtime.encoding.encoder_choice import (
    HARDWARE_H264,
    HardwareH264Encoder,
    hardware_h264,
    is_reliable,
    picture_encoder,
)
from lipstream.realtime.encoding.encoders import LiveH264Encoder, LiveVp8Encoder
from tests.realtime.encoding.test_encoders import picture

HAS_CARD = Path("/dev/nvidia0").exists()


def test_each_codec_of_pictures_has_an_encoder_and_no_other() -> None:
    assert isinstance(picture_encoder("video/VP8"), LiveVp8Encoder)
    assert isinstance(picture_encoder("video/h264"), LiveH264Encoder)
    with pytest.raises(ValueError, match="no encoder"):
        picture_encoder("audio/PCMU")


def test_an_encoder_as_a_call_needs_it_is_relied_on() -> None:
    assert is_reliable(LiveH264Encoder())


class _Late(LiveH264Encoder):
    """Looks ahead, as presets for films do."""

    def __init__(self) -> None:
        super().__init__(tune="film", preset="medium")


class _Deaf(LiveH264Encoder):
    """Gives no key frame that is asked for."""

    def encode_picture(self, frame: av.VideoFrame, *, key: bool) -> tuple[bytes, int]:
        return super().encode_picture(frame, key=False)


class _Restless(LiveH264Encoder):
    """Begins anew now and then."""

    def encode_picture(self, frame: av.VideoFrame, *, key: bool) -> tuple[bytes, int]:
        return super().encode_picture(frame, key=key or (frame.pts or 0) % (7 * 3600) == 0)


class _Greedy(LiveH264Encoder):
    """Takes no new bitrate."""

    @property
    def target_bitrate(self) -> int:
        return 4_000_000

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._target = 4_000_000


class _Blurred(LiveH264Encoder):
    """Has no bits for the picture."""

    def __init__(self) -> None:
        super().__init__(**{"x264-params": "qp=51"})


@pytest.mark.parametrize("kind", [_Late, _Deaf, _Restless, _Greedy, _Blurred])
def test_one_that_is_late_deaf_restless_greedy_or_blurred_is_not(kind: type[LiveH264Encoder]) -> None:
    assert not is_reliable(kind())


@pytest.mark.skipif(HAS_CARD, reason="there may be a card")
def test_without_a_card_the_processor_encodes() -> None:
    hardware_h264.cache_clear()
    assert hardware_h264() is None
    assert type(picture_encoder("video/h264")) is LiveH264Encoder


@pytest.mark.parametrize("name", HARDWARE_H264)
@pytest.mark.skipif(HAS_CARD, reason="there may be a card")
def test_a_card_that_takes_no_more_streams_leaves_them_to_the_processor(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = HardwareH264Encoder(name)
    decoder = av.CodecContext.create("h264", "r")
    shown = [
        len(decoder.decode(av.Packet(encoder.encode_picture(picture(index), key=index == 0)[0]))) for index in range(5)
    ]
    assert shown == [1] * 5
    assert not encoder.on_card
    assert len(caplog.records) == 1, "told once"


def as_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have x264 stand in for a card's encoder."""
    ours = {"libx264": {"preset": "ultrafast", "tune": "zerolatency", "maxrate": "900000"}}
    monkeypatch.setattr(encoder_choice, "HARDWARE_H264", ours)
    hardware_h264.cache_clear()


def test_a_card_that_does_what_a_call_needs_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    as_a_card(monkeypatch)
    try:
        assert hardware_h264() == "libx264"
        encoder = picture_encoder("video/h264")
        assert isinstance(encoder, HardwareH264Encoder)
        assert encoder.on_card
    finally:
        hardware_h264.cache_clear()


def test_a_card_is_opened_anew_for_a_large_and_lasting_change_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    as_a_card(monkeypatch)
    encoder, used, keys = HardwareH264Encoder("libx264"), [], []
    for index, bitrate in enumerate((800_000, 700_000, 300_000, 300_000)):
        if index == 3:
            encoder._opened_s -= 2
        encoder.target_bitrate = bitrate
        encoder.encode_picture(picture(index), key=False)
        assert encoder.codec is not None
        used.append(encoder.codec.bit_rate)
        keys.append(encoder.sent_key_frame)
    assert used == [800_000, 800_000, 800_000, 300_000]
    assert keys == [True, False, False, True]


def test_a_card_that_fails_in_the_middle_loses_no_picture(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    as_a_card(monkeypatch)
    encoder = HardwareH264Encoder("libx264")
    decoder = av.CodecContext.create("h264", "r")
    times = []
    for index in range(6):
        if index == 3:
            assert encoder.codec is not None
            encoder.codec.encode(None)  # whatever comes after the end is refused
        data, timestamp = encoder.encode_picture(picture(index), key=False)
        times.append(timestamp)
        assert len(decoder.decode(av.Packet(data))) == 1
    assert times == [index * 3600 for index in range(6)]
    assert not encoder.on_card
    assert len(caplog.records) == 1
