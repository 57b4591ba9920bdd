/** A kiosk's microphone, which may be missing: the kiosk works without it, and tries to open it every few seconds. */

const RETRY_MS = 5000;

/** Fires `track` (detail: the MediaStreamTrack now in use) and `change`. */
export class OptionalMicrophone extends /** @type {import('../types.js').EventsClass<{track: MediaStreamTrack, change: null}>} */ (EventTarget) {
  #timer = 0;
  #wanted = false;

  /** @param {import('../shared/microphone.js').Microphone | null} microphone null: this kiosk has none */
  constructor(microphone) {
    super();
    this.microphone = microphone;
    microphone?.addEventListener('track', (event) => {
      this.dispatchEvent(new CustomEvent('track', { detail: event.detail }));
      this.dispatchEvent(new CustomEvent('change'));
    });
    microphone?.addEventListener('devices', () => { if (this.#wanted && !microphone.track) this.#try(); });
  }

  /** Whether this kiosk has one at all. */
  get exists() {
    return this.microphone !== null;
  }

  /** @returns {MediaStreamTrack | null} */
  get track() {
    return this.microphone?.track ?? null;
  }

  get isOpen() {
    return this.microphone?.track?.readyState === 'live' && !this.microphone.muted;
  }

  /** @returns {Promise<MediaStreamTrack | null>} null where there is none yet */
  async open() {
    this.#wanted = true;
    return this.#try();
  }

  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.microphone?.close();
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.microphone?.mute(muted);
    this.dispatchEvent(new CustomEvent('change'));
  }

  /** @returns {number} 0..1 */
  level() {
    return this.isOpen ? this.microphone?.level().level ?? 0 : 0;
  }

  async #try() {
    clearTimeout(this.#timer);
    if (!this.microphone) return null;
    try {
      return await this.microphone.open();
    } catch {
      this.dispatchEvent(new CustomEvent('change'));
      if (this.#wanted) this.#timer = setTimeout(() => this.#try(), RETRY_MS);
      return null;
    }
  }
}
