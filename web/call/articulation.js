/** The slider 'How far the mouth goes': sets it in the call under way, and remembers it for the next one. */
import { byId, remembered, storageNamed } from '../shared/dom.js';

export class Articulation {
  #memory = remembered(storageNamed('localStorage'), 'articulation');
  #slider = byId('articulation');
  /** @type {import('../types.js').Session | null} the session whose articulation is set */
  #session = null;

  /**
   * @param {{
   *   call: import('../shared/call.js').Call, api: import('../shared/api.js').Api, view: import('./call_view.js').CallView,
   * }} parts
   */
  constructor({ call, api, view }) {
    this.call = call;
    this.api = api;
    this.view = view;
    this.#slider.addEventListener('input', () => this.#say());
    this.#slider.addEventListener('change', () => {
      this.#memory.set(this.#slider.value);
      this.#send();
    });
  }

  /** Show the slider in a call whose weights have an articulation. @param {import('../shared/call.js').Change} change */
  show({ state }) {
    const session = this.call.session;
    const isShown = ['live', 'reconnecting'].includes(state) && typeof session?.articulation === 'number';
    byId('articulation-row').hidden = !isShown;
    if (!isShown || session === this.#session) return;
    this.#session = session;
    const wanted = this.#memory.get();
    this.#slider.value = wanted ?? String(session.articulation);
    this.#say();
    if (wanted !== null && Number(this.#slider.value) !== session.articulation) this.#send();
  }

  #say() {
    const words = `${Math.round(100 * Number(this.#slider.value))} %`;
    byId('articulation-value').textContent = words;
    this.#slider.setAttribute('aria-valuetext', words);
  }

  #send() {
    if (!this.call.session) return;
    this.api.articulate(this.call.session, Number(this.#slider.value))
      .catch(() => this.view.say('The server did not take how far the mouth goes.'));
  }
}
