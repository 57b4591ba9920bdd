/**
 * A program's end of `WS /api/sessions/{id}/audio`, for pages: hand over speech, hear what became of it.
 *
 *     const speaker = await Speaker.connect(location.origin, session.id, { token: session.token, rate: 24000 });
 *     speaker.addEventListener('event', ({ detail }) => console.log(detail.type, detail.sample));
 *     await speaker.say(samples); // Int16Array, or Float32Array within -1..1; mono
 *     speaker.endOfSpeech();
 *
 * It needs nothing of the page, and runs wherever there is a WebSocket.
 */

const PIECE_BYTES = 8 * 1024;
/** What may wait in the browser's own buffer: an interruption must not queue behind more. */
const MOST_BUFFERED_BYTES = 64 * 1024;
const LOOK_MS = 10;

/** The server hung up, or was never reached. */
export class SpeakerClosedError extends Error {
  /** @param {number} code of the WebSocket @param {string} reason */
  constructor(code, reason) {
    super(reason || (code === 4409 ? 'Another program speaks now.' : `The connection is closed (${code}).`));
    this.name = 'SpeakerClosedError';
    this.code = code;
  }
}

/**
 * @param {Int16Array | Float32Array} samples
 * @returns {Uint8Array<ArrayBuffer>} s16le
 */
export function pcmOf(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < samples.length; index += 1) {
    const value = samples[index];
    const whole = samples instanceof Float32Array ? Math.round(Math.min(1, Math.max(-1, value || 0)) * 32767) : value;
    view.setInt16(index * 2, whole, true);
  }
  return bytes;
}

/**
 * @typedef {{type: string, sample?: number, text?: string, message?: string, heard_ms?: number, queued_ms?: number}} SpeakerEvent
 * @typedef {import('./types.js').EventsClass<{event: SpeakerEvent, close: SpeakerClosedError}>} SpeakerEvents
 */

/** Fires `event` (detail: what the server sends, without its credit) and `close`. */
export class Speaker extends /** @type {SpeakerEvents} */ (EventTarget) {
  #socket;
  #sent = 0;
  #until = 0;
  /** Those who wait for credit. @type {(() => void)[]} */
  #waiting = [];
  /** One call after the other, so that no two sounds mix. */
  #turn = Promise.resolve();
  /** Counts interruptions: what was handed over before one is not sent after it. */
  #generation = 0;
  /** @type {SpeakerClosedError | null} */
  #closed = null;

  /** Use `Speaker.connect`. @param {WebSocket} socket */
  constructor(socket) {
    super();
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#hear(data));
    socket.addEventListener('close', ({ code, reason }) => {
      this.#closed = new SpeakerClosedError(code, reason);
      this.#wake();
      this.dispatchEvent(new CustomEvent('close', { detail: this.#closed }));
    });
  }

  /**
   * @param {string} server its address, `http` or `https`
   * @param {string} sessionId
   * @param {{token?: string, rate?: number, WebSocket?: typeof WebSocket}} [options] the session's token, and the
   *   sound's rate, 8000 to 48000
   * @returns {Promise<Speaker>} once it is connected
   * @throws {SpeakerClosedError} if the server refuses or cannot be reached
   */
  static connect(server, sessionId, { token = '', rate = 16000, WebSocket: Socket = globalThis.WebSocket } = {}) {
    const url = new URL(`${server.replace(/\/$/, '')}/api/sessions/${encodeURIComponent(sessionId)}/audio`);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('rate', String(rate));
    const socket = new Socket(url.href, ['lipstream.v1', ...(token ? [`bearer.${token}`] : [])]);
    const speaker = new Speaker(socket);
    return new Promise((resolve, reject) => {
      socket.addEventListener('open', () => resolve(speaker), { once: true });
      speaker.addEventListener('close', ({ detail }) => reject(detail), { once: true });
    });
  }

  get isClosed() {
    return this.#closed !== null;
  }

  /**
   * Hand over sound; resolves when all of it was sent, which may be as slow as speech, or when it was interrupted.
   *
   * @param {Int16Array | Float32Array | Uint8Array<ArrayBuffer>} sound samples, or bytes of s16le
   * @throws {SpeakerClosedError} if the server is gone, or another program took over
   */
  say(sound) {
    const bytes = sound instanceof Uint8Array ? sound : pcmOf(sound);
    const generation = this.#generation;
    const saying = this.#turn.then(() => this.#send(bytes, generation));
    this.#turn = saying.catch(() => {});
    return saying;
  }

  /** Have the server speak a text by its own engine; a text that it does not take comes back as an event `error`. @param {string} text */
  sayText(text) {
    this.#tell({ type: 'say', text });
  }

  /** Say that an utterance is over, behind what was handed over before. */
  endOfSpeech() {
    const generation = this.#generation;
    this.#turn = this.#turn.then(() => { if (generation === this.#generation && !this.#closed) this.#tell({ type: 'end_of_speech' }); });
  }

  /** Stop speaking now: what was handed over and not heard yet is forgotten. */
  interrupt() {
    this.#generation += 1;
    this.#wake();
    this.#tell({ type: 'interrupt' });
  }

  /** Hang up; what was sent is still spoken. */
  close() {
    this.#socket.close(1000);
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes @param {number} generation */
  async #send(bytes, generation) {
    for (let start = 0; start < bytes.length;) {
      while (this.#sent >= this.#until && generation === this.#generation && !this.#closed) {
        await new Promise((done) => { this.#waiting.push(() => done(undefined)); });
      }
      while (this.#socket.bufferedAmount > MOST_BUFFERED_BYTES && !this.#closed) {
        await new Promise((done) => { setTimeout(done, LOOK_MS); });
      }
      if (this.#closed) throw this.#closed;
      if (generation !== this.#generation) return;
      const piece = bytes.subarray(start, start + Math.min(PIECE_BYTES, this.#until - this.#sent));
      this.#socket.send(piece);
      this.#sent += piece.length;
      start += piece.length;
    }
  }

  /** @param {object} message */
  #tell(message) {
    if (this.#closed) throw this.#closed;
    this.#socket.send(JSON.stringify(message));
  }

  /** @param {unknown} data */
  #hear(data) {
    if (typeof data !== 'string') return;
    const event = JSON.parse(data);
    if (event.type !== 'credit') {
      this.dispatchEvent(new CustomEvent('event', { detail: event }));
      return;
    }
    this.#until = event.until;
    this.#wake();
  }

  #wake() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
