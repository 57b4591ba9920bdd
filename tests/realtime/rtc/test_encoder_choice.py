"""Encoders of cards, on a machine without one: what is asked of them, and what happens where they are not there."""

from pathlib import Path

import av
import pytest

from realtime.rtc import encoder_choice
from realtime.rtc.encoder_choice import (
    HARDWARE_H264,
    HardwareH264Encoder,
    hardware_h264,
    is_reliable,
    picture_encoder,
)
from realtime.rtc.encoders import LiveH264Encoder, LiveVp8Encoder
from tests.realtime.rtc.test_encoders import picture

HAS_CARD = any(Path(path).exists() for path in ("/dev/nvidia0", "/System/Library"))


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
        return super().encode_picture(frame, key=key or frame.pts % (7 * 3600) == 0)


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


def test_a_card_as_good_as_ours_is_chosen_and_its_bitrate_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"libx264": {"preset": "ultrafast", "tune": "zerolatency", "maxrate": "2500000"}}
    monkeypatch.setattr(encoder_choice, "HARDWARE_H264", ours)
    monkeypatch.setattr(encoder_choice, "is_reliable", lambda encoder: encoder.encode_picture(picture(0), key=True))
    hardware_h264.cache_clear()
    try:
        assert hardware_h264() == "libx264"
        encoder = picture_encoder("video/h264")
        assert isinstance(encoder, HardwareH264Encoder)
        assert encoder.on_card
        encoder.target_bitrate = 500_000
        encoder.encode_picture(picture(0), key=True)
        encoder.target_bitrate = 300_000
        encoder.encode_picture(picture(1), key=False)
        assert encoder.on_card
        assert encoder.codec is not None
        assert encoder.codec.bit_rate == 300_000
        assert not encoder.sent_key_frame
    finally:
        hardware_h264.cache_clear()
