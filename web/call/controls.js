/** The buttons of a call: which are there in which state, and what they do. */
import { byId, remembered, storageNamed } from '../shared/dom.js';

const LIVE_LINE = 'Live: speak.';

export class Controls {
  /**
   * @param {{
   *   call: import('../shared/call.js').Call, api: import('../shared/api.js').Api, stage: import('./call_view.js').Stage,
   *   microphone: import('../shared/microphone.js').Microphone, start: () => void,
   * }} parts
   */
  constructor({ call, api, stage, microphone, start }) {
    this.call = call;
    this.api = api;
    this.stage = stage;
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

  /** @param {{state: import('../shared/call.js').CallState} & import('../shared/call.js').Detail} change */
  show({ state, retryInMs = 0 }) {
    const waiting = state === 'failed' && retryInMs > 0;
    const underWay = !['idle', 'failed'].includes(state) || waiting;
    const onStage = ['live', 'reconnecting'].includes(state);
    const focused = document.activeElement;
    byId('start').hidden = underWay;
    byId('stop').hidden = !underWay;
    for (const id of ['mute', 'interrupt', 'pop-out', 'figures']) byId(id).hidden = !onStage;
    byId('intro').hidden = onStage;
    byId('interrupt').disabled = state !== 'live';
    // Nobody should find a new call silent because of the last one.
    if (!underWay) this.#mute(false);
    // The button that was pressed has gone: leave the keyboard at its opposite.
    const isGone = focused instanceof HTMLElement && focused !== document.body && focused.offsetParent === null;
    if (isGone) byId(underWay ? 'stop' : 'start').focus();
  }

  /** @param {boolean} muted */
  #mute(muted) {
    this.microphone.mute(muted);
    byId('mute').setAttribute('aria-pressed', String(muted));
    if (this.call.state === 'live') this.stage.say(muted ? 'Live, and your microphone is muted.' : LIVE_LINE);
  }

  /** The face alone, silent: what is said is heard here. */
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
      this.stage.say('The avatar could not be interrupted.');
    }
  }
}

/** The switch 'Hear the avatar': off at first in every new tab, since loudspeakers and habit are both against it. */
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
