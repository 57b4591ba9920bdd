/** The buttons of a call: which are shown in which state, and what they do. */
import { byId, remembered, storageNamed } from '../shared/dom.js';
import { messageOf, reasonOf, wordsFor } from '../shared/words.js';
import { Sample } from './sample.js';

const LIVE_LINE = 'Live: speak.';
const LISTENING_LINE = 'A recorded sentence. Your microphone is closed.';
/** Text is sent while a slow engine still loads its voice. */
const SAYING_MS = 30000;

export class Controls {
  /** Whether the sample was asked for and not said yet. */
  #isDue = false;

  /**
   * @param {{
   *   call: import('../shared/call.js').Call, api: import('../shared/api.js').Api, view: import('./call_view.js').CallView,
   *   microphone: import('../shared/microphone.js').Microphone, voice: import('./voice.js').Voice,
   *   hearing: Hearing, start: () => void,
   * }} parts
   */
  constructor({ call, api, view, microphone, voice, hearing, start }) {
    this.call = call;
    this.api = api;
    this.view = view;
    this.microphone = microphone;
    this.voice = voice;
    this.sample = new Sample(api);
    this.hearing = hearing;
    this.start = start;
    byId('start').addEventListener('click', () => this.#talk());
    byId('sample').addEventListener('click', () => this.#hearSample());
    byId('type-here').addEventListener('submit', (event) => { event.preventDefault(); this.#say(); });
    byId('stop').addEventListener('click', () => call.stop());
    byId('pop-out').addEventListener('click', () => this.#popOut());
    byId('mute').addEventListener('click', () => this.#mute(!microphone.muted));
    byId('interrupt').addEventListener('click', () => this.#interrupt());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !byId('join').open) this.#interrupt();
    });
  }

  /** @param {import('../shared/call.js').Change} change */
  show({ state, retryInMs = 0 }) {
    const waiting = state === 'failed' && retryInMs > 0;
    const underWay = !['idle', 'failed'].includes(state) || waiting;
    const isShown = ['live', 'reconnecting'].includes(state);
    const focused = document.activeElement;
    const talks = this.voice.isWanted;
    // Without a voice there is none to draw.
    document.documentElement.dataset.voice = talks ? 'open' : 'none';
    byId('start').hidden = talks ? underWay : underWay && state !== 'live';
    byId('sample').hidden = byId('start').hidden;
    byId('stop').hidden = !underWay;
    for (const id of /** @type {const} */ (['interrupt', 'pop-out', 'figures'])) byId(id).hidden = !isShown;
    byId('mute').hidden = !isShown || !talks;
    byId('type-here').hidden = !isShown || !this.call.session?.speaks_text;
    byId('intro').hidden = isShown;
    byId('interrupt').disabled = state !== 'live';
    // A new call starts unmuted, whatever the last one was.
    if (!underWay) {
      this.#mute(false);
      this.hearing.asChosen();
    }
    if (state === 'live' && !talks) this.#playSample();
    // The focused button is hidden now: focus its opposite.
    const isGone = focused instanceof HTMLElement && focused !== document.body && focused.offsetParent === null;
    if (isGone) byId(underWay ? 'stop' : 'start').focus();
  }

  /** Start a call with the microphone, or open it in the call that only listened. */
  async #talk() {
    if (this.call.state !== 'live') {
      this.voice.isWanted = true;
      this.start();
      return;
    }
    try {
      await this.voice.join();
    } catch (error) {
      this.view.say(`${wordsFor(reasonOf(error)).title}.`);
      return;
    }
    this.hearing.asChosen();
    this.#isDue = false;
    this.show({ state: this.call.state });
    this.view.say(LIVE_LINE);
  }

  #hearSample() {
    this.hearing.now();
    this.#isDue = true;
    if (this.call.state === 'live') {
      this.#playSample();
      return;
    }
    this.voice.isWanted = false;
    this.start();
  }

  /** Say the sentence, once each time that it was asked for: a call that comes back does not begin again. */
  async #playSample() {
    const { session } = this.call;
    if (!this.#isDue || !session) return;
    this.#isDue = false;
    this.view.say(LISTENING_LINE);
    await this.sample.play(session).catch(() => this.view.say('The sample could not be played.'));
  }

  async #say() {
    const text = byId('text').value.trim();
    const { session } = this.call;
    if (!text || !session) return;
    byId('text').value = '';
    if (!this.voice.isWanted) this.hearing.now();
    await this.api.say(session, text, AbortSignal.timeout(SAYING_MS)).catch((error) => this.view.say(messageOf(error)));
  }

  /** @param {boolean} muted */
  #mute(muted) {
    this.microphone.mute(muted);
    byId('mute').setAttribute('aria-pressed', String(muted));
    if (this.call.state === 'live') this.view.say(muted ? 'Live, and your microphone is muted.' : LIVE_LINE);
  }

  /** Open the face in a window of its own, muted: the sound plays in this page. */
  #popOut() {
    if (!this.call.session) return;
    const { id, viewer_token: token } = this.call.session;
    window.open(`/stage?session=${encodeURIComponent(id)}&muted#token=${token}`, 'lipstream-stage', 'popup,width=720,height=720');
  }

  async #interrupt() {
    if (this.call.state !== 'live' || !this.call.session) return;
    try {
      await this.api.interrupt(this.call.session);
    } catch {
      this.view.say('The avatar could not be interrupted.');
    }
  }
}

/** The switch 'Hear the avatar'. It is off in every new tab: loudspeakers would feed the microphone. */
export class Hearing {
  #memory = remembered(storageNamed('sessionStorage'), 'hear');
  #box = byId('hear');

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    this.asChosen();
    this.#box.addEventListener('change', () => {
      this.#memory.set(String(this.#box.checked));
      this.asChosen();
    });
  }

  /** Sound as it was chosen last. */
  asChosen() {
    this.#become(this.#memory.get() === 'true');
  }

  /** Sound on while no microphone is open that it could disturb. */
  now() {
    this.#become(true);
  }

  /** @param {boolean} isHeard */
  #become(isHeard) {
    this.#box.checked = isHeard;
    this.video.muted = !isHeard;
  }
}
