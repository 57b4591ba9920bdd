/**
 * The session that a page leaves behind when it is refreshed, so that the next page resumes it.
 *
 * It is written when the page is left and can be taken once: two tabs must not use the same session.
 */
import { remembered, storageNamed } from './dom.js';

export class ResumableSession {
  /** For this tab alone, like the session's token. */
  #memory = remembered(storageNamed('sessionStorage'), 'session');

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
