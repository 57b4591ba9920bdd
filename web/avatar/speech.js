/** Sound of a page's own, handed to a session in the order in which it came, over a WebSocket that is there while it is needed. */
import { pcmOf, Speaker } from '../speaker.js';

/** @typedef {import('../shared/api.js').Session} Session */

export class Speech {
  #server;
  #tell;
  /** @type {Speaker | null} */
  #speaker = null;
  #opened = '';
  /** One piece after the other, whatever their rates. */
  #turn = Promise.resolve();
  /** Counts interruptions: what was handed over before one is not sent after it. */
  #generation = 0;

  /** @param {string} server its address @param {(event: import('../speaker.js').SpeakerEvent) => void} tell of what only a program is told */
  constructor(server, tell) {
    this.#server = server;
    this.#tell = tell;
  }

  /**
   * @param {() => Promise<Session>} connected
   * @param {Int16Array | Float32Array} samples mono; copied at once
   * @param {number} rateHz 8000 to 48000
   * @returns {Promise<void>} once all of it was sent, or was interrupted
   */
  speak(connected, samples, rateHz) {
    const bytes = pcmOf(samples);
    return this.#inTurn(async (isDropped) => {
      const session = await connected();
      const speaker = await this.#open(session, rateHz);
      if (!isDropped()) await speaker.say(bytes);
    });
  }

  /** Say that an utterance is over, behind what was handed over. */
  endOfSpeech() {
    return this.#inTurn(async () => this.#speaker?.endOfSpeech());
  }

  /** @returns {boolean} whether the session was told; what was not sent is forgotten in any case */
  interrupt() {
    this.#generation += 1;
    if (!this.#speaker || this.#speaker.isClosed) return false;
    this.#speaker.interrupt();
    return true;
  }

  /** Hang up behind what was handed over: it is still said, and then the microphone is heard again. */
  hangUp() {
    return this.#inTurn(() => this.#close());
  }

  /** Hang up now; what was not sent is forgotten. */
  async close() {
    this.#generation += 1;
    await this.#close();
  }

  /** @param {(isDropped: () => boolean) => Promise<void>} step @returns {Promise<void>} */
  #inTurn(step) {
    const generation = this.#generation;
    const isDropped = () => generation !== this.#generation;
    const done = this.#turn.then(() => (isDropped() ? undefined : step(isDropped)));
    this.#turn = done.catch(() => {});
    return done;
  }

  /** @param {Session} session @param {number} rateHz @returns {Promise<Speaker>} */
  async #open(session, rateHz) {
    const wanted = `${session.id} ${rateHz}`;
    if (this.#speaker && !this.#speaker.isClosed && this.#opened === wanted) return this.#speaker;
    await this.#close();
    const speaker = await Speaker.connect(this.#server, session.id, { token: session.token, rate: rateHz });
    // The session tells its other events by the control channel too.
    speaker.addEventListener('event', ({ detail }) => { if (['playout', 'warning'].includes(detail.type)) this.#tell(detail); });
    this.#opened = wanted;
    this.#speaker = speaker;
    return speaker;
  }

  async #close() {
    const speaker = this.#speaker;
    this.#speaker = null;
    if (!speaker || speaker.isClosed) return;
    const closed = new Promise((done) => { speaker.addEventListener('close', done, { once: true }); });
    speaker.close();
    await closed;
  }
}
