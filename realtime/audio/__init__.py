"""Audio: resampling, the mel spectrogram, buffers, voice and turn detection, sentences."""
