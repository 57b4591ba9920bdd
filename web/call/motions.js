/** A button for each motion that the face can show in the call under way. */
import { byId, make } from '../shared/dom.js';
import { messageOf } from '../shared/words.js';

export class Motions {
  #row = byId('motions');
  #listed = '';

  /**
   * @param {{
   *   call: import('../shared/call.js').Call, api: import('../shared/api.js').Api, view: import('./call_view.js').CallView,
   * }} parts
   */
  constructor({ call, api, view }) {
    this.call = call;
    this.api = api;
    this.view = view;
  }

  /** Show the buttons during a call. @param {import('../shared/call.js').Change} change */
  show({ state }) {
    if (state === 'live') this.list(this.call.session?.motions ?? []);
    else if (state !== 'reconnecting') this.list([]);
  }

  /** @param {string[]} names those that the session may ask for; another face has others */
  list(names) {
    if (names.join() === this.#listed) return;
    this.#listed = names.join();
    this.#row.hidden = names.length === 0;
    this.#row.replaceChildren(...names.map((name) => this.#button(name)));
  }

  /** Press the button of the motion that is seen. @param {import('../types.js').ControlMessage} event */
  note({ type, motion }) {
    if (type !== 'motion_started' && type !== 'motion_ended') return;
    for (const button of this.#row.querySelectorAll('button')) {
      if (button.value === motion) button.setAttribute('aria-pressed', String(type === 'motion_started'));
    }
  }

  /** @param {string} name */
  #button(name) {
    const words = name.replaceAll('-', ' ');
    const button = make('button', { type: 'button', class: 'button', value: name, 'aria-pressed': 'false' }, words);
    button.addEventListener('click', () => {
      if (!this.call.session) return;
      this.api.motion(this.call.session, name).catch((error) => this.view.say(messageOf(error)));
    });
    return button;
  }
}
