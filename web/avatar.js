/**
 * `<lipstream-avatar src=… avatar=… token=…>`: a talking face in any page.
 *
 *     const face = document.querySelector('lipstream-avatar');
 *     await face.say('Good morning.'); // or face.speak(samples, 24_000), or face.track = a MediaStreamTrack
 *     face.addEventListener('ended', () => console.log('It has spoken.'));
 *
 * Importing this module defines the element. Where there is no document, as on a server that renders pages, it only
 * exports the class.
 *
 * @typedef {import('./avatar/talk.js').Message} Message
 * @typedef {import('./types.js').AvatarEvents} AvatarEvents
 */
import { Talk } from './avatar/talk.js';
import { View } from './avatar/view.js';
import { Api } from './shared/api.js';
import { followNotices } from './shared/notices.js';
import { Watching } from './shared/watching.js';
import { reconnectingWords, wordsFor } from './shared/words.js';

const ELEMENT = 'lipstream-avatar';
/** A change of these begins the connection anew; a moved element keeps its own. */
const CONNECTION = ['src', 'token', 'session', 'viewer', 'conversation'];
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/** Fires what `AvatarEvents` lists. None of its events bubbles. */
export class LipstreamAvatar extends /** @type {import('./types.js').ElementClass<AvatarEvents>} */ (Base) {
  static observedAttributes = [...CONNECTION, 'avatar', 'muted', 'poster', 'captions'];
  #view = new View(this.attachShadow({ mode: 'open' }));
  /** @type {Talk | Watching | null} */
  #link = null;
  #wanted = '';
  /** Resolves when the attributes and the place in the document have been followed. */
  #settled = Promise.resolve();
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {import('./shared/call.js').CallState} */
  #state = 'idle';
  #isSpeaking = false;
  #caption = '';
  /** The failure that the page knows of; '' without one. */
  #reason = '';
  #unfollow = () => {};
  #leave = () => { this.#link?.stop(); };
  /** @param {PageTransitionEvent} event */
  #return = ({ persisted }) => { if (persisted) this.reconnect(); };
  #hurry = () => { if (this.#link instanceof Talk) this.#link.hurry(); };

  constructor() {
    super();
    this.#view.showCaptions(false);
  }

  connectedCallback() {
    addEventListener('pagehide', this.#leave);
    addEventListener('pageshow', this.#return);
    addEventListener('online', this.#hurry);
    this.#view.resume();
    this.#follow();
  }

  disconnectedCallback() {
    removeEventListener('pagehide', this.#leave);
    removeEventListener('pageshow', this.#return);
    removeEventListener('online', this.#hurry);
    this.#follow();
  }

  /** @param {string} name @param {string | null} before @param {string | null} value */
  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === 'muted') this.#view.mute(this.muted);
    else if (name === 'captions') this.#view.showCaptions(this.captions);
    else if (name === 'poster') this.#showPoster();
    else if (name === 'avatar') this.#showAvatar();
    else this.#follow();
  }

  /** The server's address; without it the page's own. */
  get src() { return this.getAttribute('src') ?? ''; }
  set src(value) { this.setAttribute('src', value); }

  /** The id of the avatar; without it the server chooses. */
  get avatar() { return this.getAttribute('avatar') ?? ''; }
  set avatar(value) { this.setAttribute('avatar', value); }

  /** A join token; with `session` the session's token, or with `viewer` its viewer token. */
  get token() { return this.getAttribute('token') ?? ''; }
  set token(value) { this.setAttribute('token', value); }

  /** The id of a session that exists, instead of one that the element begins. */
  get session() { return this.getAttribute('session') ?? ''; }
  set session(value) { this.setAttribute('session', value); }

  /** The address of a picture that is shown until there is a face. */
  get poster() { return this.getAttribute('poster') ?? ''; }
  set poster(value) { this.setAttribute('poster', value); }

  /** Whether `session` is only watched. */
  get viewer() { return this.hasAttribute('viewer'); }
  set viewer(value) { this.toggleAttribute('viewer', value); }

  /** Whether the session listens to `track` and answers, instead of saying it. */
  get conversation() { return this.hasAttribute('conversation'); }
  set conversation(value) { this.toggleAttribute('conversation', value); }

  get muted() { return this.hasAttribute('muted'); }
  set muted(value) { this.toggleAttribute('muted', value); }

  /** Whether captions are shown. */
  get captions() { return this.hasAttribute('captions'); }
  set captions(value) { this.toggleAttribute('captions', value); }

  /** What is shown as a caption. The server gives the sentences of texts; of your own sound only you know the words. */
  get caption() { return this.#caption; }
  set caption(text) {
    this.#caption = text;
    this.#view.caption(text);
  }

  /** The voice that the avatar says, or that it answers in a conversation: a microphone's, or that of another call. */
  get track() { return this.#track; }
  set track(track) {
    this.#track = track;
    if (this.#link instanceof Talk) this.#link.listenTo(track).catch((error) => this.#fail('failed', String(error)));
  }

  /** `idle`, `asking`, `connecting`, `live`, `reconnecting` or `failed`. */
  get state() { return this.#state; }

  get speaking() { return this.#isSpeaking; }

  /**
   * Have the server speak a text by its own engine, once there is a connection.
   *
   * @param {string} text
   * @returns {Promise<void>} when its first sound is ready
   */
  async say(text) {
    await (await this.#talk()).say(text);
  }

  /**
   * Show a motion of the avatar once, such as `greet`, as soon as it is in the right pose.
   *
   * @param {string} name
   * @returns {Promise<void>} when the server has taken it; rejected if the avatar has no such motion
   */
  async motion(name) {
    await (await this.#talk()).motion(name);
  }

  /**
   * Hand over sound, once there is a connection; it may come faster than it is heard.
   *
   * @param {Int16Array | Float32Array} samples mono, floats within -1..1; copied at once
   * @param {number} rateHz 8000 to 48000
   * @returns {Promise<void>} when the server has taken it, which may be as slow as speech, or when it was interrupted
   */
  async speak(samples, rateHz) {
    const copy = samples.slice();
    await (await this.#talk()).speak(copy, rateHz);
  }

  /** Say that an utterance is over, behind what was handed over. */
  async endOfSpeech() {
    await (await this.#talk()).endOfSpeech();
  }

  /** Stop speaking now; what was handed over and not heard is forgotten. */
  async interrupt() {
    await (await this.#talk()).interrupt();
  }

  /** Connect anew, for instance after a limit has ended the session. */
  reconnect() {
    this.#wanted = '';
    this.#follow();
  }

  /** Do what attributes and document ask for, once all changes of this moment are made. */
  #follow() {
    this.#settled = this.#settled.then(() => this.#settle());
  }

  async #settle() {
    const wanted = this.isConnected ? JSON.stringify(CONNECTION.map((name) => this.getAttribute(name))) : '';
    if (wanted === this.#wanted && wanted) return;
    this.#wanted = wanted;
    const former = this.#link;
    this.#link = null;
    await former?.stop();
    if (wanted) this.#connect();
  }

  #connect() {
    const { src: server, token, session } = this;
    /** @param {string} path */
    const followSession = (path) => {
      const api = new Api({ server });
      const held = this.#link instanceof Talk ? (this.#link.session?.token ?? token) : token;
      const session = { token: held, urls: { self: path } };
      this.#unfollow = followNotices(() => api.notices(session), ({ recorded }) => this.#view.tellRecorded(recorded));
    };
    if (this.viewer) {
      const path = `/api/sessions/${encodeURIComponent(session)}`;
      const watching = new Watching(async () => `${server.replace(/\/+$/, '')}${path}/whep`, token);
      watching.addEventListener('stream', ({ detail }) => this.#view.play(detail));
      watching.addEventListener('state', ({ detail }) => this.#become(watching, detail, () => followSession(path)));
      this.#view.speak(true); // a viewer is not told when it speaks, so it never stands still
      this.#link = watching;
      watching.start();
    } else {
      const talk = new Talk({ server, token, session: session || null, conversation: this.conversation, track: this.#track });
      talk.addEventListener('stream', ({ detail }) => this.#view.play(detail));
      talk.addEventListener('message', ({ detail }) => this.#hear(detail));
      talk.addEventListener('state', ({ detail }) => this.#become(talk, detail, () => followSession(talk.session?.urls.self ?? '')));
      this.#view.speak(false);
      this.#link = talk;
      talk.start(this.avatar || null);
    }
    this.#showPoster();
  }

  /** @returns {Promise<Talk>} what can speak */
  async #talk() {
    await this.#settled;
    if (this.#link instanceof Talk) return this.#link;
    const why = this.#link ? 'A viewer only watches.' : 'The element is not in a document.';
    throw new DOMException(why, 'InvalidStateError');
  }

  /** @param {Talk | Watching} link @param {import('./shared/call.js').Change} change @param {() => void} followSession */
  #become(link, { state, reason = '', message = '', attempt = 1, retryInMs = 0 }, followSession) {
    const before = this.#state;
    if (link !== this.#link && state !== 'idle') return;
    this.#state = state;
    if (state === 'live') {
      this.#reason = '';
      this.#view.explain('');
      followSession();
      if (before !== 'live') this.#fire('connected', null);
      return;
    }
    this.#unfollow();
    this.#unfollow = () => {};
    if (before === 'live') {
      this.#speak(false, { interrupted: true });
      this.#fire('disconnected', { reason: reason || 'left' });
    }
    if (state === 'idle' || (state === 'failed' && !retryInMs)) this.#view.play(null);
    if (state === 'reconnecting') this.#view.explain(reconnectingWords(reason || 'lost', attempt).title);
    else this.#view.explain(state === 'failed' ? wordsFor(reason, message).title : '');
    if (!reason || reason === 'lost' || reason === this.#reason) return;
    this.#reason = reason;
    this.#fail(reason, message || wordsFor(reason).text, state === 'reconnecting' || retryInMs > 0);
  }

  /** @param {Message} message */
  #hear(message) {
    this.#fire('message', message);
    const { type, text } = message;
    if (type === 'speech_started') this.#speak(true);
    if (type === 'speech_ended') this.#speak(false, { interrupted: false });
    if (type === 'interrupted') this.#speak(false, { interrupted: true });
    if (type === 'error') this.#fail(String(message.code ?? 'refused'), String(message.message));
    if (type === 'motion_started' || type === 'motion_ended') this.#fire(type === 'motion_started' ? 'motionstarted' : 'motionended', { name: String(message.motion) });
    if (type !== 'caption') return;
    this.caption = String(text);
    this.#fire('caption', { text: String(text) });
  }

  /** @param {boolean} isSpeaking @param {AvatarEvents['ended']} [end] */
  #speak(isSpeaking, end) {
    if (isSpeaking === this.#isSpeaking) return;
    this.#isSpeaking = isSpeaking;
    this.#view.speak(isSpeaking);
    if (!end) {
      this.#fire('speaking', null);
      return;
    }
    this.caption = '';
    this.#fire('ended', end);
  }

  /** @param {string} reason @param {string} message @param {boolean} [retries] */
  #fail(reason, message, retries = false) {
    this.#fire('error', { reason, message, retries });
  }

  /** @template {keyof AvatarEvents} Name @param {Name} name @param {AvatarEvents[Name]} detail */
  #fire(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async #showAvatar() {
    this.#showPoster();
    if (!(this.#link instanceof Talk) || !this.avatar) return;
    try {
      await this.#link.show(this.avatar);
      this.#view.speak(this.#isSpeaking);
    } catch (error) {
      this.#fail('refused', error instanceof Error ? error.message : String(error));
    }
  }

  /** Show the page's own poster, or else the avatar as the server previews it. */
  async #showPoster() {
    const { poster, avatar, src: server, token } = this;
    this.#view.poster(poster);
    if (poster || !avatar || !this.isConnected || this.session) return;
    const api = new Api({ server });
    api.joinToken = token;
    const preview = await api.preview(avatar).catch(() => null);
    if (preview && avatar === this.avatar && !this.poster) this.#view.poster(preview);
  }
}

if (globalThis.customElements && !customElements.get(ELEMENT)) customElements.define(ELEMENT, LipstreamAvatar);
