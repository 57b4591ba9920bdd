/**
 * Once a second while there is a peer: the server's figures and the browser's, side by side.
 */
import { ApiError } from './api.js';
import { figuresBetween, readingOf } from './figures.js';
import { Sync } from './sync.js';

const PERIOD_MS = 1000;
/** Readings without one new frame after which the connection counts as lost: short outages heal by themselves. */
const STILL = 4;
const STILL_AND_UNANSWERED = 2;
/** Rates are taken over this many seconds: over one second, 25 fps reads as 24 or 26. */
const RATE_READINGS = 3;
const LATELY_MS = 30000;
/** Time for an answer. */
const ANSWER_MS = 8000;
/** How long the server's last figures stand in for ones that did not come. */
const STALE_MS = 5000;

/**
 * @typedef {{
 *   server: import('../types.js').SessionFigures | null, here: import('./figures.js').Figures, freezesLately: number,
 * }} AllFigures server: null without a recent answer; freezesLately: within the last half minute
 */

/** Fires `figures`. */
export class Monitor extends /** @type {import('../types.js').EventsClass<{figures: AllFigures}>} */ (EventTarget) {
  /** @type {import('./figures.js').Reading[]} the last ones, oldest first */
  readings = [];
  /** Readings in a row without a new frame. */
  still = 0;
  sync = new Sync();
  /** @type {{figures: import('../types.js').SessionFigures | null, atMs: number}} */
  server = { figures: null, atMs: 0 };
  unanswered = false;
  /** @type {AbortController | null} of the request under way */
  #asked = null;
  /** @type {{atMs: number, freezes: number}[]} oldest first */
  freezes = [];
  timer = 0;

  /** @param {import('./call.js').Call} call @param {import('./api.js').Api} api */
  constructor(call, api) {
    super();
    this.call = call;
    this.api = api;
  }

  /** Forget the readings of the peer connection before. */
  reset() {
    this.readings = [];
    this.still = 0;
    this.sync = new Sync();
    this.server = { figures: null, atMs: 0 };
    this.unanswered = false;
    this.freezes = [];
  }

  start() {
    this.stop();
    this.reset();
    this.timer = setInterval(() => this.#read(), PERIOD_MS);
    this.#read();
  }

  /** What is being asked is not waited for: the session may end next, and the answer would be that there is none. */
  stop() {
    clearInterval(this.timer);
    this.#asked?.abort();
    this.#asked = null;
  }

  async #read() {
    const { session, peer } = this.call;
    if (this.call.state !== 'live' || !session || !peer) return;
    // Not awaited: a server that hangs must not keep the page from seeing the picture stand still.
    this.#ask(session);
    const now = readingOf(await peer.connection.getStats(), performance.now());
    if (peer !== this.call.peer) return;
    const here = figuresBetween(this.readings[0] ?? null, now);
    this.still = this.readings.at(-1)?.framesReceived === now.framesReceived ? this.still + 1 : 0;
    this.readings = [...this.readings, now].slice(-RATE_READINGS);
    if (now.atMs - this.server.atMs > STALE_MS) this.server.figures = null;
    const detail = { server: this.server.figures, here, freezesLately: this.#freezesLately(now) };
    this.dispatchEvent(new CustomEvent('figures', { detail }));
    this.sync.correct(here, peer.receivers);
    // An avatar at rest sends 25 frames a second too, so a still picture is always a fault.
    const limit = this.unanswered ? STILL_AND_UNANSWERED : STILL;
    if (this.still >= limit) this.call.lost();
  }

  /** @param {import('./api.js').Session} session */
  async #ask(session) {
    if (this.#asked) return;
    const asked = new AbortController();
    this.#asked = asked;
    const patience = setTimeout(() => asked.abort(), ANSWER_MS);
    try {
      const figures = await this.api.figures(session, asked.signal);
      if (asked !== this.#asked) return;
      this.server = { figures, atMs: performance.now() };
      this.unanswered = false;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.unanswered = true;
      const sessionGone = error instanceof ApiError && [401, 404].includes(error.status);
      if (sessionGone && session === this.call.session) this.call.lost({ sessionGone });
    } finally {
      clearTimeout(patience);
      if (asked === this.#asked) this.#asked = null;
    }
  }

  /** @param {import('./figures.js').Reading} now */
  #freezesLately(now) {
    this.freezes.push({ atMs: now.atMs, freezes: now.freezes });
    while (now.atMs - this.freezes[0].atMs > LATELY_MS) this.freezes.shift();
    return now.freezes - this.freezes[0].freezes;
  }
}
