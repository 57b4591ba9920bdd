/**
 * Once a second while there is a peer: the server's figures and the browser's, side by side.
 */
import { ApiError } from './api.js';
import { figuresBetween, readingOf } from './figures.js';

const PERIOD_MS = 1000;
/** Readings without one new frame after which an unanswered server counts as lost. */
const STILL_READINGS = 2;
const LATELY_MS = 30000;

/** Fires `figures` (detail: {server, here, freezesLately}). */
export class Monitor extends EventTarget {
  /** @param {import('./call.js').Call} call @param {import('./api.js').Api} api */
  constructor(call, api) {
    super();
    this.call = call;
    this.api = api;
    this.timer = 0;
    this.reset();
  }

  /** Forget the readings of the peer connection before. */
  reset() {
    this.before = null;
    this.still = 0;
    /** @type {{atMs: number, freezes: number}[]} */
    this.freezes = [];
  }

  start() {
    this.stop();
    this.reset();
    this.timer = setInterval(() => this.#read(), PERIOD_MS);
    this.#read();
  }

  stop() {
    clearInterval(this.timer);
  }

  async #read() {
    const { session, peer } = this.call;
    if (this.call.state !== 'live' || !session || !peer) return;
    let error = null;
    const [report, server] = await Promise.all([
      peer.connection.getStats(),
      this.api.figures(session).catch((failure) => { error = failure; return null; }),
    ]);
    if (peer !== this.call.peer) return;
    const now = readingOf(report, performance.now());
    const here = figuresBetween(this.before, now);
    this.still = this.before && now.frames === this.before.frames ? this.still + 1 : 0;
    this.before = now;
    const detail = { server, here, freezesLately: this.#freezesLately(now) };
    this.dispatchEvent(new CustomEvent('figures', { detail }));
    this.#judge(error);
  }

  /** @param {import('./figures.js').Reading} now */
  #freezesLately(now) {
    this.freezes.push({ atMs: now.atMs, freezes: now.freezes });
    while (now.atMs - this.freezes[0].atMs > LATELY_MS) this.freezes.shift();
    return now.freezes - this.freezes[0].freezes;
  }

  /**
   * A failed request alone proves nothing while the picture moves. @param {unknown} error
   */
  #judge(error) {
    const sessionGone = error instanceof ApiError && [401, 404].includes(error.status);
    if (sessionGone || (error && this.still >= STILL_READINGS)) this.call.lost({ sessionGone });
  }
}
