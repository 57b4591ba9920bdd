/**
 * The session that a page leaves behind when it is refreshed, so that the next one comes back to it.
 *
 * It is written on the way out and taken once: a duplicated tab must not fight for the same session.
 */
import { remembered, storageNamed } from './dom.js';

export class Seat {
  /** For this tab alone, as its token is. */
  #memory = remembered(storageNamed('sessionStorage'), 'seat');

  /** @param {import('./api.js').Session | null} session */
  leave(session) {
    this.#memory.set(session ? JSON.stringify(session) : '');
  }

  /** @returns {import('./api.js').Session | null} */
  take() {
    const text = this.#memory.get();
    this.#memory.set('');
    return text ? JSON.parse(text) : null;
  }
}
