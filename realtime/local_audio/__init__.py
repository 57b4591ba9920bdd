"""The microphone and the loudspeaker of the server's own machine, by PortAudio."""
