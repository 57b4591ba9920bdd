/** Says how far a face is that the server prepares before it is first shown. */

/** Most faces are ready: nothing is said, and nothing asked, before a request has taken this long. */
const TELL_AFTER_MS = 700;

export class Preparation {
  /** @type {AbortController | null} */
  #watching = null;

  /**
   * @param {{followAvatar: import('../shared/api.js').Api['followAvatar']}} api
   * @param {(line: string) => void} say
   * @param {number} [tellAfterMs]
   */
  constructor(api, say, tellAfterMs = TELL_AFTER_MS) {
    this.api = api;
    this.say = say;
    this.tellAfterMs = tellAfterMs;
  }

  /** @param {string | null} avatar null, the server's own choice, is ready @returns {Promise<void>} */
  async watch(avatar) {
    this.stop();
    if (!avatar) return;
    const watching = new AbortController();
    this.#watching = watching;
    await new Promise((resolve) => { setTimeout(resolve, this.tellAfterMs); });
    if (watching.signal.aborted) return;
    await this.api.followAvatar(avatar, ({ state, progress }) => {
      if (state === 'building' && !watching.signal.aborted) this.say(`Preparing this face for its first call: ${Math.round(progress * 100)} %`);
    }, watching.signal).catch(() => {}); // the request that waits says what is wrong
  }

  stop() {
    this.#watching?.abort();
    this.#watching = null;
  }
}
