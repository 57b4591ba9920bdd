/** Adds a motion to an avatar of the user's own: a clip of the same person. */
import { byId } from '../shared/dom.js';
import { messageOf } from '../shared/words.js';

export class MotionUpload {
  #row = byId('motion-row');
  #name = byId('motion-name');
  #file = byId('motion-file');
  #note = byId('motion-note');
  #avatar = '';

  /** @param {import('../shared/api.js').Api} api */
  constructor(api) {
    this.api = api;
    this.#file.addEventListener('change', () => {
      const file = this.#file.files?.[0];
      this.#file.value = '';
      if (file) this.#send(file);
    });
  }

  /** @param {string} avatar id of the chosen one @param {boolean} isOwn whether it is not built in, so that it can be changed */
  offer(avatar, isOwn) {
    if (avatar !== this.#avatar) this.#note.textContent = '';
    this.#avatar = avatar;
    this.#row.hidden = !isOwn;
  }

  /** @param {File} file */
  async #send(file) {
    const avatar = this.#avatar;
    const name = this.#name.value;
    const words = this.#name.selectedOptions[0]?.textContent ?? name;
    this.#file.disabled = true;
    this.#note.textContent = `Sending ${file.name} …`;
    try {
      await this.api.addMotion(avatar, name, file);
      await this.api.followAvatar(avatar, (build) => this.#follow(build), new AbortController().signal);
      this.#note.textContent = `“${words}” is there, from the next call on.`;
    } catch (error) {
      this.#note.textContent = messageOf(error);
    } finally {
      this.#file.disabled = false;
    }
  }

  /** @param {import('../types.js').AvatarBuild} build */
  #follow({ state, progress, message }) {
    if (state === 'failed') throw new Error(`This clip cannot be used: ${message}.`);
    this.#note.textContent = `Joining it with the other clips … ${Math.round(progress * 100)} %`;
  }
}
