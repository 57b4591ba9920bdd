/** The microphone of a call, which stays closed in a call that only listens. */
export class Voice {
  /** Whether the next call, or the one that runs, has the microphone. */
  isWanted = true;

  /** @param {{open(): Promise<MediaStreamTrack>, close(): void}} microphone */
  constructor(microphone) {
    this.microphone = microphone;
  }

  /** @returns {Promise<MediaStreamTrack | null>} null: this call needs none */
  async open() {
    return this.isWanted ? this.microphone.open() : null;
  }

  close() {
    this.microphone.close();
  }

  /**
   * Let a call that runs without the microphone have it.
   *
   * @throws {import('../shared/microphone.js').MicrophoneError} if it cannot be opened; the call goes on without it
   */
  async join() {
    this.isWanted = true;
    try {
      await this.microphone.open();
    } catch (error) {
      this.isWanted = false;
      throw error;
    }
  }
}
