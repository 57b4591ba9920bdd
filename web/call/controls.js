/** The buttons of a call: which are shown in which state, and what they do. */
import { byId, remembered, storageNamed } from '../shared/dom.js';

const LIVE_LINE = 'Live: speak.';

export class Controls {
  /**
   * @param {{
   *   call: import('../shared/call.js').Call, api: import('../shared/api.js').Api, view: import('./call_view.js').CallView,
   *   microphone: import('../shared/microphone.js').Microphone, start: () => void,
   * }} parts
   */
  constructor({ call, api, view, microphone, start }) {
    this.call = call;
    this.api = api;
    this.view = view;
    this.microphone = microphone;
    byId('start').addEventListener('click', start);
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
    byId('start').hidden = underWay;
    byId('stop').hidden = !underWay;
    for (const id of /** @type {const} */ (['mute', 'interrupt', 'pop-out', 'figures'])) byId(id).hidden = !isShown;
    byId('intro').hidden = isShown;
    byId('interrupt').disabled = state !== 'live';
    // A new call starts unmuted, whatever the last one was.
    if (!underWay) this.#mute(false);
    // The focused button is hidden now: focus its opposite.
    const isGone = focused instanceof HTMLElement && focused !== document.body && focused.offsetParent === null;
    if (isGone) byId(underWay ? 'stop' : 'start').focus();
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

/**
 * Connect the switch 'Hear the avatar'. It is off in every new tab: loudspeakers would feed the microphone.
 *
 * @param {HTMLVideoElement} video
 */
export function connectHearing(video) {
  const memory = remembered(storageNamed('sessionStorage'), 'hear');
  const hear = byId('hear');
  hear.checked = memory.get() === 'true';
  video.muted = !hear.checked;
  hear.addEventListener('change', () => {
    video.muted = !hear.checked;
    memory.set(String(hear.checked));
  });
}
