/**
 * Sound and picture in step, more closely than the browser keeps them.
 *
 * Chrome does nothing about 30 ms and less. A picture that waits for packets to be sent again comes that much after its
 * sound, which is where people notice first.
 *
 * @typedef {{jitterBufferTarget?: number | null}} Receiver
 */

/** Closer than this, the browser's own figure is not worth following. */
const CLOSE_MS = 8;
const READINGS = 3;
/** Of what is missing, at once: the buffers take some seconds to follow. */
const SHARE = 0.6;
const MOST_MS = 250;

/** Holds back whichever comes first, and only as long as it does. */
export class Sync {
  /** @type {number[]} */
  #offsets = [];

  /**
   * @param {import('./figures.js').Figures} figures
   * @param {{audio: Receiver, video: Receiver}} receivers
   */
  correct({ avOffsetHereMs, audioBufferMs, videoBufferMs }, { audio, video }) {
    if (avOffsetHereMs === null || audioBufferMs === null || videoBufferMs === null) return;
    this.#offsets.push(avOffsetHereMs);
    if (this.#offsets.length < READINGS) return;
    const offsetMs = this.#offsets.sort((a, b) => a - b)[READINGS >> 1];
    this.#offsets = [];
    if (Math.abs(offsetMs) <= CLOSE_MS) return;
    const stepMs = SHARE * Math.abs(offsetMs);
    const [first, firstMs, last, lastMs] = offsetMs > 0
      ? [audio, audioBufferMs, video, videoBufferMs] : [video, videoBufferMs, audio, audioBufferMs];
    if (last.jitterBufferTarget) {
      const targetMs = Math.min(last.jitterBufferTarget, lastMs) - stepMs;
      last.jitterBufferTarget = targetMs > 0 ? targetMs : null;
    } else {
      first.jitterBufferTarget = Math.min(MOST_MS, Math.max(first.jitterBufferTarget ?? 0, firstMs) + stepMs);
    }
  }
}
