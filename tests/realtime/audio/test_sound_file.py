"""Sound files as people have them: joined, damaged, cut short, cancelling. What there is is read, the rest is told."""

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from lipstream.realtime.audio.sound_file import BLOCK_SOUND, Recording, open_sound
from lipstream.realtime.errors import BadRequestError
from lipstream.realtime.render import decide_frames, iterate_frames
from lipstream.realtime.session.animator import ClipLoop
from tests.realtime.speech import silence, voice
from tests.realtime.synthesis.test_odd_sound import encoded, wave
from tests.sound_files import write_wav

RATE_HZ = 48_000


def mp3(seconds: float = 3.0, rate_hz: int = 44_100) -> bytes:
    return encoded("mp3", "libmp3lame", rate_hz, seconds=seconds)


def opened(folder: Path, data: bytes, name: str = "sound.mp3") -> tuple[np.ndarray, str]:
    """Return the sound of some bytes, and the notes on it."""
    (folder / name).write_bytes(data)
    recording = open_sound(folder / name)
    sound = np.concatenate(list(recording.blocks()))
    assert sound.size == recording.samples
    assert sound.dtype == np.float32
    assert np.abs(sound).max() <= 1
    return sound, " ".join(recording.notes)


def test_joined_files_are_read_to_the_end_at_their_own_rates(tmp_path: Path) -> None:
    sound, notes = opened(tmp_path, mp3(2.0) + mp3(2.0))
    assert sound.size / RATE_HZ == pytest.approx(4.0, abs=0.2)
    sound, notes = opened(tmp_path, mp3(2.0, 44_100) + mp3(2.0, 24_000))
    assert sound.size / RATE_HZ == pytest.approx(4.0, abs=0.3)
    assert "changes its format" in notes


def test_a_damaged_file_gives_the_rest_and_says_how_much_is_lost(tmp_path: Path) -> None:
    whole = mp3(6.0)
    middle = len(whole) // 2
    damaged = whole[:middle] + bytes(np.random.default_rng(1).integers(0, 256, 900, np.uint8)) + whole[middle + 900 :]
    sound, _ = opened(tmp_path, damaged)
    assert 5.5 < sound.size / RATE_HZ < 6.2
    flac = encoded("flac", "flac", seconds=6.0)
    hole = bytearray(flac)
    hole[len(flac) // 3 : len(flac) // 2] = bytes(len(flac) // 2 - len(flac) // 3)
    sound, notes = opened(tmp_path, bytes(hole), "hole.flac")
    assert 2.0 < sound.size / RATE_HZ < 5.5
    assert "cannot be read and are left out" in notes


def test_a_small_hole_is_told_where_the_length_is_known(tmp_path: Path) -> None:
    for container, codec in (("flac", "flac"), ("matroska", "libopus")):
        whole = encoded(container, codec, seconds=6.0)
        assert not opened(tmp_path, whole, "whole")[1]
        hole = whole[: len(whole) // 2] + bytes(700) + whole[len(whole) // 2 + 700 :]
        sound, notes = opened(tmp_path, hole, "hole")
        assert 3.0 < sound.size / RATE_HZ < 5.99
        assert "left out" in notes, container


def test_an_ogg_file_that_is_cut_short_says_so_though_it_states_no_length(tmp_path: Path) -> None:
    whole = encoded("ogg", "libopus", seconds=6.0)
    assert not opened(tmp_path, whole, "a.ogg")[1]
    sound, notes = opened(tmp_path, whole[: len(whole) // 2], "a.ogg")
    assert 1.0 < sound.size / RATE_HZ < 4.0
    assert "cut short" in notes


@pytest.mark.parametrize("channels", [3, 4, 6, 8, 16])
def test_many_channels_are_mixed_without_clipping(tmp_path: Path, channels: int) -> None:
    tone = 0.5 * np.sin(np.arange(RATE_HZ) / 20)
    pcm = np.rint(np.repeat(tone, channels) * 32_767).astype("<i2").tobytes()
    sound, notes = opened(tmp_path, wave(pcm, channels=channels, rate_hz=RATE_HZ), "many.wav")
    assert np.sqrt(np.mean(sound**2)) / np.abs(sound).max() == pytest.approx(np.sqrt(0.5), rel=0.01), "still a sine"
    assert np.abs(sound).max() >= 0.45
    assert not notes


@pytest.mark.parametrize(("container", "codec"), [("adts", "aac"), ("flac", "flac"), ("mp3", "libmp3lame")])
def test_a_file_that_is_cut_short_gives_what_is_there(tmp_path: Path, container: str, codec: str) -> None:
    whole = encoded(container, codec, seconds=6.0)
    sound, notes = opened(tmp_path, whole[: len(whole) // 2 + 7], f"cut.{container}")
    assert 2.0 < sound.size / RATE_HZ < 4.0
    if container != "adts":  # which does not say how long it is
        assert "cut short" in notes


def stereo(left: np.ndarray, right: np.ndarray) -> bytes:
    both = np.stack((left, right), axis=1)
    return wave(np.rint(both * 20_000).astype("<i2").tobytes(), channels=2, rate_hz=RATE_HZ)


def test_channels_that_cancel_are_not_mixed(tmp_path: Path) -> None:
    tone = voice(1.0, RATE_HZ)
    sound, notes = opened(tmp_path, stereo(tone, -0.9 * tone), "a.wav")
    assert np.abs(sound).max() == pytest.approx(np.abs(tone).max() * 20_000 / 32_768, rel=0.01)
    assert "the left one is used alone" in notes
    sound, notes = opened(tmp_path, stereo(tone, tone), "a.wav")
    assert np.abs(sound).max() == pytest.approx(np.abs(tone).max() * 20_000 / 32_768, rel=0.01)
    assert not notes
    sound, notes = opened(tmp_path, stereo(tone, 0 * tone), "a.wav")
    assert not notes
    _, notes = opened(tmp_path, stereo(0 * tone, 0 * tone), "a.wav")
    assert "silent" in notes


def test_what_has_no_sound_is_one_sentence(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no sound at all, only words\n" * 50)
    write_wav(tmp_path / "no.wav", np.zeros(0, np.float32))
    for name, told in (
        ("film.mp4", "holds no sound"), ("empty", "the file is empty"), ("text", "no file with sound"),
        ("gone", "there is no such file"), ("no.wav", "no sound that can be read"),
    ):  # fmt: skip
        with pytest.raises(BadRequestError, match=told) as refused:
            open_sound(tmp_path / name)
        assert "Errno" not in refused.value.message


def test_frames_are_decided_alike_however_the_sound_is_cut() -> None:
    sound = np.concatenate((silence(0.4, RATE_HZ), voice(1.7, RATE_HZ), silence(1.3, RATE_HZ), voice(0.5, RATE_HZ)))
    loop = ClipLoop(50, "seamless")
    whole = decide_frames(sound, loop, window_offset_samples=-640)
    for step in (1_000, BLOCK_SOUND, 100_000):
        blocks = (sound[at : at + step] for at in range(0, sound.size, step))
        cut = list(iterate_frames(blocks, loop, window_offset_samples=-640))
        assert [(job.frame, job.spoken) for job in cut] == [(job.frame, job.spoken) for job in whole]
        for one, other in zip(cut, whole, strict=True):
            assert (one.mel is None) == (other.mel is None)
            if one.mel is not None and other.mel is not None:
                np.testing.assert_allclose(one.mel, other.mel, atol=1e-5)


def test_memory_does_not_grow_with_the_length() -> None:
    second = voice(1.0, RATE_HZ)

    def blocks(seconds: int) -> Recording:
        return Recording(seconds * RATE_HZ, "", lambda: (second for _ in range(seconds)))

    peaks = []
    for seconds in (20, 200):
        tracemalloc.start()
        for _ in iterate_frames(blocks(seconds).blocks(), ClipLoop(50, "seamless"), window_offset_samples=-640):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
