/** A session that is watched by WHEP, and again after each loss. */
import { backoffMs, sessionIsGone } from './retry.js';
import { watch } from './whep.js';
import { messageOf, reasonOf } from './words.js';

/**
 * @typedef {import('./call.js').Change} Change
 * @typedef {{state: Change, stream: MediaStream}} WatchingEvents
 */

/** Fires `state` (`connecting`, `live`, `reconnecting`, `failed`, `idle`) and `stream`; it tries again until it is stopped. */
export class Watching extends /** @type {import('../types.js').EventsClass<WatchingEvents>} */ (EventTarget) {
  #run = new AbortController();
  #find;
  #token;

  /**
   * @param {() => Promise<string | null>} find where to watch; null if nothing can be watched now
   * @param {string} token '' where none is asked for
   */
  constructor(find, token) {
    super();
    this.#find = find;
    this.#token = token;
  }

  async start() {
    this.#run.abort();
    const run = new AbortController();
    this.#run = run;
    this.#become({ state: 'connecting' });
    let wasLive = false;
    for (let attempt = 1; !run.signal.aborted; attempt += 1) {
      try {
        const whep = await this.#find();
        if (whep) {
          await this.#watch(whep, run.signal);
          wasLive = true;
          attempt = 1;
        }
      } catch (error) {
        if (run.signal.aborted) return;
        const detail = { reason: reasonOf(error), message: messageOf(error), attempt, retryInMs: backoffMs(attempt) };
        this.#become({ state: wasLive && !sessionIsGone(error) ? 'reconnecting' : 'failed', ...detail });
      }
      await new Promise((done) => { setTimeout(done, backoffMs(attempt)); });
    }
  }

  async stop() {
    this.#run.abort();
    this.#become({ state: 'idle' });
  }

  /** @param {string} whep @param {AbortSignal} run @returns {Promise<void>} once it is lost or stopped */
  async #watch(whep, run) {
    const viewer = await watch(whep, this.#token);
    if (!run.aborted) {
      this.dispatchEvent(new CustomEvent('stream', { detail: viewer.stream }));
      this.#become({ state: 'live' });
      await Promise.race([viewer.lost, new Promise((done) => { run.addEventListener('abort', done); })]);
    }
    viewer.close();
    if (!run.aborted) this.#become({ state: 'reconnecting', reason: 'lost' });
  }

  /** @param {Change} change */
  #become(change) {
    this.dispatchEvent(new CustomEvent('state', { detail: change }));
  }
}
