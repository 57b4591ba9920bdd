/** The join token of a server that takes calls by invitation: from the address, from before, or asked for. */
import { joinTokenFrom } from './api.js';
import { byId, remembered, storageNamed } from './dom.js';

export class Invitation {
  #memory;

  /**
   * @param {import('./api.js').Api} api
   * @param {Storage | null} [storage] by default for this tab alone: a token is good for minutes, and not for the next
   *   person at this machine
   */
  constructor(api, storage = storageNamed('sessionStorage')) {
    this.api = api;
    this.#memory = remembered(storage, 'join');
    api.joinToken = this.#memory.get() ?? '';
  }

  /** Take the token out of the address, so that it is in no bookmark and on no projector. */
  take() {
    const token = joinTokenFrom(location.hash);
    if (!token) return;
    history.replaceState(null, '', location.pathname + location.search);
    this.#use(token);
  }

  /** @returns {Promise<boolean>} whether an invitation was given */
  ask() {
    const dialog = byId('join');
    const field = byId('join-token');
    if (dialog.open) return Promise.resolve(false);
    field.value = '';
    dialog.returnValue = '';
    dialog.showModal();
    field.focus();
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => {
        const token = dialog.returnValue === 'join' ? joinTokenFrom(field.value) : '';
        if (token) this.#use(token);
        resolve(token !== '');
      }, { once: true });
    });
  }

  /** @param {string} token */
  #use(token) {
    this.api.joinToken = token;
    this.#memory.set(token);
  }
}
