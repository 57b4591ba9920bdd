"""Audio analysis: rates, mel spectrogram, voice activity."""
