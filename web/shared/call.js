/**
 * The life of a call: asking, connecting, live, and back again after a loss.
 *
 * It touches neither the page nor WebRTC: the server, the microphone, the peer connection and the
 * passing of time are handed in, so that a minute of outage tests in a millisecond.
 *
 * @typedef {'idle'|'asking'|'connecting'|'live'|'reconnecting'|'failed'} CallState
 * @typedef {{reason?: string, message?: string, attempt?: number, retryInMs?: number}} Detail
 * @typedef {{state: CallState} & Detail} Change
 * @typedef {import('./peer.js').Peer} Peer
 */
import { askedToWaitMs, backoffMs, sessionIsGone } from './retry.js';
import { messageOf, reasonOf } from './words.js';

/** Fires `state` and `peer` (detail: the Peer now in use). */
export class Call extends /** @type {import('../types.js').EventsClass<{state: Change, peer: Peer}>} */ (EventTarget) {
  /** @type {CallState} */
  state = 'idle';
  /** @type {import('./api.js').Session | null} */
  session = null;
  /** @type {Peer | null} */
  peer = null;
  #run = new AbortController();
  /** @type {(value?: unknown) => void} */
  #hurry = () => {};
  /** @type {string | null} */
  #avatar = null;
  /** @type {import('./api.js').Session | null} */
  #left;
  /** The session that is gone: a cluster lets the next one keep its name. @type {import('./api.js').Session | null} */
  #former = null;
  #parts;

  /**
   * @param {{
   *   api: import('./api.js').Api,
   *   microphone: {open(): Promise<MediaStreamTrack | null>, close(): void},
   *   openPeer: (options: import('./peer.js').PeerOptions) => Promise<Peer>,
   *   sleep?: (ms: number) => Promise<void>,
   *   left?: import('./api.js').Session | null,
   * }} parts `left` is the session of the page before a refresh
   */
  constructor({ left = null, ...parts }) {
    super();
    this.#left = left;
    this.#parts = { sleep: (/** @type {number} */ ms) => new Promise((done) => { setTimeout(done, ms); }), ...parts };
  }

  /** @param {string | null} avatar */
  async start(avatar) {
    this.#run.abort();
    const run = new AbortController();
    this.#run = run;
    this.#avatar = avatar;
    this.#former = null;
    for (;;) {
      const waitMs = await this.#tryToStart(run.signal);
      if (waitMs === null) return;
      await this.#wait(waitMs);
      if (run.signal.aborted) return;
    }
  }

  /** End the call, whatever it is doing. */
  async stop() {
    this.#become('idle');
    await this.#release();
  }

  /**
   * Leave without ending the session: the server keeps it for a while, and for nobody's disadvantage.
   *
   * @returns {import('./api.js').Session | null} what the next page may come back to
   */
  leave() {
    const { session } = this;
    this.session = null;
    this.#become('idle');
    this.#release();
    return session;
  }

  /** Give up for a cause that the caller has found. @param {string} reason */
  async fail(reason) {
    this.#become('failed', { reason });
    await this.#release();
  }

  /** Try now instead of when the wait is over. */
  hurry() {
    this.#hurry();
  }

  /** Say that the connection is gone; harmless when the call already knows. @param {{sessionGone?: boolean}} [loss] */
  lost({ sessionGone = false } = {}) {
    if (this.state !== 'live') return;
    if (sessionGone) this.#forget(this.session);
    this.#reconnect(this.#run.signal);
  }

  /** The avatar for sessions that a reconnection has to create. @param {string} avatar */
  choose(avatar) {
    this.#avatar = avatar;
  }

  /** @param {AbortSignal} run @returns {Promise<number | null>} a wait before the next try; null: no next try */
  async #tryToStart(run) {
    try {
      this.#become('asking');
      await this.#parts.microphone.open();
      if (run.aborted) return null;
      this.#become('connecting');
      await this.#join(run);
      if (!run.aborted) this.#become('live');
      return null;
    } catch (error) {
      if (run.aborted) return null;
      const detail = { reason: reasonOf(error), message: messageOf(error) };
      const retryInMs = askedToWaitMs(error);
      if (retryInMs) {
        // The microphone stays open: asking again in a minute could put up a question nobody sees.
        this.#become('failed', { ...detail, retryInMs });
        return retryInMs;
      }
      this.#become('failed', detail);
      await this.#release();
      return null;
    }
  }

  /** @param {AbortSignal} run @returns {Promise<import('./api.js').Session | null>} null: the run has ended */
  async #sessionToJoin(run) {
    const { api } = this.#parts;
    const known = this.session ?? this.#left;
    if (known) {
      try {
        const fresh = { ...known, ...(await api.connectivity(known)) };
        if (known === this.#left && this.#avatar) await api.switchAvatar(fresh, this.#avatar);
        this.#left = null;
        return run.aborted ? null : fresh;
      } catch (error) {
        if (this.session || !sessionIsGone(error)) throw error;
        this.#former = this.#left;
        this.#left = null;
      }
    }
    const session = await api.createSession(this.#avatar, this.#former);
    this.#former = null;
    if (!run.aborted) return session;
    await api.end(session);
    return null;
  }

  /** Make the session if there is none, and a peer connection to it. @param {AbortSignal} run */
  async #join(run) {
    const { api, microphone, openPeer } = this.#parts;
    const session = await this.#sessionToJoin(run);
    if (!session) return;
    this.session = session;
    const track = await microphone.open();
    const peer = await openPeer({
      configuration: { iceServers: session.ice_servers, iceTransportPolicy: session.ice_transport_policy },
      track,
      exchange: (offer) => api.exchange(session, offer),
      onLost: (lostPeer) => { if (lostPeer === this.peer) this.lost(); },
      signal: run,
    });
    if (run.aborted) {
      peer.close();
      return;
    }
    this.peer?.close();
    this.peer = peer;
    this.dispatchEvent(new CustomEvent('peer', { detail: peer }));
  }

  /** Come back to the same session while it lives, else to a new one. @param {AbortSignal} run */
  async #reconnect(run) {
    const former = this.peer;
    /** @type {Detail} */
    let detail = { reason: 'lost' };
    // The state first: until it is set, a second sign of the same loss would start a second loop.
    this.#become('reconnecting', { ...detail, attempt: 1 });
    const framesAtLoss = (await former?.framesReceived()) ?? 0;
    for (let attempt = 1; !run.aborted; attempt += 1) {
      const retryInMs = Math.max(backoffMs(attempt), detail.retryInMs ?? 0);
      this.#become('reconnecting', { ...detail, attempt, retryInMs });
      await this.#wait(retryInMs);
      if (run.aborted) return;
      const hadSession = this.session !== null;
      try {
        // A short outage heals by itself, and a new connection would only cost a second more.
        const healed = hadSession && former !== null && this.peer === former && (await former.framesReceived()) > framesAtLoss;
        if (!healed) await this.#join(run);
        if (!run.aborted) this.#become('live');
        return;
      } catch (error) {
        if (run.aborted) return;
        const gone = sessionIsGone(error);
        detail = { reason: gone ? 'session-gone' : reasonOf(error), message: messageOf(error), retryInMs: askedToWaitMs(error) };
        if (gone && this.session) this.#forget(this.session);
        if (gone && !hadSession) {
          this.#become('failed', { reason: reasonOf(error), message: messageOf(error) });
          await this.#release();
          return;
        }
      }
    }
  }

  /** Sleep until the time is over, somebody hurries, or the run ends. @param {number} ms */
  async #wait(ms) {
    const hurried = new Promise((done) => { this.#hurry = done; });
    await Promise.race([this.#parts.sleep(ms), hurried]);
  }

  async #release() {
    this.#run.abort();
    this.#hurry();
    this.#parts.microphone.close();
    this.peer?.close();
    const { session } = this;
    this.peer = this.session = null;
    if (session) await this.#parts.api.end(session);
  }

  /** @param {import('./api.js').Session | null} session one that is gone */
  #forget(session) {
    this.#former = session;
    this.session = null;
  }

  /** @param {CallState} state @param {Detail} [detail] */
  #become(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent('state', { detail: { state, ...detail } }));
  }
}
