/** A slider that sets a number of the call under way, and remembers it for the next one. */
import { byId, remembered, storageNamed } from '../shared/dom.js';

/** @typedef {import('../types.js').Session} Session */

export class Dial {
  #memory;
  #slider;
  /** @type {Session | null} the session whose number is set */
  #session = null;

  /**
   * @param {{
   *   name: 'articulation' | 'liveliness', call: import('../shared/call.js').Call,
   *   api: import('../shared/api.js').Api, view: import('./call_view.js').CallView,
   *   isFor?: (session: Session) => boolean,
   * }} parts `name` is the number's, the slider's id, and the beginning of its row's; `isFor` tells whether a call has it
   */
  constructor({ name, call, api, view, isFor = () => true }) {
    this.name = name;
    this.call = call;
    this.api = api;
    this.view = view;
    this.isFor = isFor;
    this.#memory = remembered(storageNamed('localStorage'), name);
    this.#slider = byId(name);
    this.#slider.addEventListener('input', () => this.#say());
    this.#slider.addEventListener('change', () => {
      this.#memory.set(this.#slider.value);
      this.#send();
    });
  }

  /** Show the slider in a call that has such a number. @param {import('../shared/call.js').Change} change */
  show({ state }) {
    const session = this.call.session;
    const known = session?.[this.name];
    const isShown = !!session && ['live', 'reconnecting'].includes(state) && typeof known === 'number' && this.isFor(session);
    byId(`${this.name}-row`).hidden = !isShown;
    if (!isShown || session === this.#session) return;
    this.#session = session;
    const wanted = this.#memory.get();
    this.#slider.value = wanted ?? String(known);
    this.#say();
    if (wanted !== null && Number(this.#slider.value) !== known) this.#send();
  }

  #say() {
    const words = `${Math.round(100 * Number(this.#slider.value))} %`;
    byId(`${this.name}-value`).textContent = words;
    this.#slider.setAttribute('aria-valuetext', words);
  }

  #send() {
    if (!this.call.session) return;
    this.api.change(this.call.session, { [this.name]: Number(this.#slider.value) })
      .catch(() => this.view.say('The server did not take the slider.'));
  }
}
