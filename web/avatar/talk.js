/** A session that the element speaks through: one of its own, or one that its page's server has begun. */
import { Api, ApiError } from '../shared/api.js';
import { Call } from '../shared/call.js';
import { Monitor } from '../shared/monitor.js';
import { openPeer } from '../shared/peer.js';
import { askedToWaitMs } from '../shared/retry.js';
import { endingOf, wordsFor } from '../shared/words.js';
import { Speech } from './speech.js';

const AGAIN_MS = 5000;
/** Failures that pass by themselves. */
const PASSING = ['blocked', 'unavailable', 'unreachable'];
/** A synthesiser may take its time until the first sound. */
const SAYING_MS = 60_000;

/**
 * @typedef {import('../shared/api.js').Session} Session
 * @typedef {import('../shared/call.js').Change} Change
 * @typedef {import('../types.js').ControlMessage} Message
 * @typedef {{state: Change, stream: MediaStream | null, message: Message}} TalkEvents
 */

/** The routes of a session that somebody else has begun: no other takes its place, and its end is theirs. */
class JoinedApi extends Api {
  /** @override @returns {Promise<Session>} */
  async createSession() {
    throw new ApiError(404, { code: 'not_found', message: 'There is no such session, or the token does not open it.' }, null);
  }

  /** @override */
  async end() {}
}

/** @param {string} id @param {string} token @returns {Session} a session as the answer to its creation told it */
function sessionNamed(id, token) {
  const self = `/api/sessions/${encodeURIComponent(id)}`;
  const urls = { self, peer: `${self}/peer`, audio: `${self}/audio`, whep: `${self}/whep` };
  return { id, token, viewer_token: '', look_ahead_ms: 0, ice_servers: [], ice_transport_policy: 'all', urls };
}

/** Fires `state`, `stream` and `message` (detail: what the session tells its clients). */
export class Talk extends /** @type {import('../types.js').EventsClass<TalkEvents>} */ (EventTarget) {
  #call;
  #monitor;
  #speech;
  /** @type {MediaStreamTrack | null} */
  #track;
  /** @type {string | null} */
  #avatar = null;
  #again = 0;
  /** Why nothing can be said any more; '' while it can, or soon can again. */
  #over = '';

  /**
   * @param {{server: string, token: string, session: string | null, conversation: boolean, track: MediaStreamTrack | null}} options
   *   `session`: the id of one to join by its token; without it a new one begins
   */
  constructor({ server, token, session, conversation, track }) {
    super();
    const api = session ? new JoinedApi({ server }) : new Api({ server });
    api.joinToken = token;
    api.conversation = conversation;
    this.api = api;
    this.#track = track;
    const microphone = { open: async () => this.#track, close() {} };
    this.#call = new Call({ api, microphone, openPeer, left: session ? sessionNamed(session, token) : null });
    this.#monitor = new Monitor(this.#call, api);
    this.#speech = new Speech(server || location.origin, (detail) => this.#tell(detail));
    this.#call.addEventListener('state', ({ detail }) => this.#follow(detail));
    this.#call.addEventListener('peer', ({ detail: peer }) => {
      const show = () => this.dispatchEvent(new CustomEvent('stream', { detail: peer.stream }));
      if (peer.stream) show();
      peer.addEventListener('stream', show);
      peer.addEventListener('message', ({ detail }) => {
        const ending = detail.type === 'ending' ? endingOf(detail) : null;
        if (ending?.seconds === 0) this.#call.fail(ending.reason);
        this.#tell(detail);
      });
    });
  }

  /** The session in use, null before the first and after the end. */
  get session() {
    return this.#call.session;
  }

  /** @param {string | null} avatar null leaves the choice to the server, or to who began the session */
  async start(avatar) {
    this.#avatar = avatar;
    await this.#call.start(avatar);
  }

  async stop() {
    clearTimeout(this.#again);
    this.#over = 'The element has left the session.';
    this.#speech.close();
    await this.#call.stop();
  }

  /** Try now instead of when a wait is over. */
  hurry() {
    if (this.#again) this.#tryAgain();
    else this.#call.hurry();
  }

  /** @param {string} avatar shown from now on, without a break */
  async show(avatar) {
    this.#avatar = avatar;
    this.#call.choose(avatar);
    while (this.#call.session && this.#avatar === avatar) {
      try {
        await this.api.switchAvatar(this.#call.session, avatar);
        return;
      } catch (error) {
        const waitMs = askedToWaitMs(error); // a face that is shown for the first time is still prepared
        if (!waitMs) throw error;
        await new Promise((done) => { setTimeout(done, waitMs); });
      }
    }
  }

  /** @param {MediaStreamTrack | null} track heard from now on */
  async listenTo(track) {
    this.#track = track;
    if (track) this.#speech.hangUp();
    await this.#call.peer?.replaceTrack(track);
  }

  /** @param {string} name of a motion of the avatar @returns {Promise<void>} once the server has taken it @throws {ApiError} */
  async motion(name) {
    await this.api.motion(await this.#connected(), name);
  }

  /** @param {string} text @returns {Promise<void>} once its first sound is ready @throws {ApiError} */
  async say(text) {
    await this.api.say(await this.#connected(), text, AbortSignal.timeout(SAYING_MS));
  }

  /** @param {Int16Array | Float32Array} samples @param {number} rateHz @returns {Promise<void>} once it was sent */
  speak(samples, rateHz) {
    return this.#speech.speak(() => this.#connected(), samples, rateHz);
  }

  async endOfSpeech() {
    await this.#speech.endOfSpeech();
    if (this.#track) await this.#speech.hangUp();
  }

  async interrupt() {
    const { session } = this.#call;
    if (!this.#speech.interrupt() && session) await this.api.interrupt(session);
  }

  /** @returns {Promise<Session>} once it is connected */
  #connected() {
    return new Promise((resolve, reject) => {
      const look = () => {
        const { state, session } = this.#call;
        if (this.#over) reject(new DOMException(this.#over, 'InvalidStateError'));
        else if (state === 'live' && session) resolve(session);
        else return;
        this.removeEventListener('state', look);
      };
      this.addEventListener('state', look);
      look();
    });
  }

  /** @param {Change} change */
  #follow(change) {
    const { state, reason = '', message = '' } = change;
    if (state === 'live') this.#monitor.start();
    else this.#monitor.stop();
    let told = change;
    if (state === 'failed' && !change.retryInMs) {
      if (PASSING.includes(reason)) {
        told = { ...change, retryInMs: AGAIN_MS };
        this.#again = setTimeout(() => this.#tryAgain(), AGAIN_MS);
      } else {
        const words = wordsFor(reason, message);
        this.#over = `${words.title}. ${words.text}`;
      }
    }
    this.dispatchEvent(new CustomEvent('state', { detail: told }));
  }

  #tryAgain() {
    clearTimeout(this.#again);
    this.#again = 0;
    this.#call.start(this.#avatar);
  }

  /** @param {Message} message */
  #tell(message) {
    this.dispatchEvent(new CustomEvent('message', { detail: message }));
  }
}
