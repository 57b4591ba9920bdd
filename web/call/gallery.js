/** The avatars as a row of pictures, one of them chosen. */
import { byId, make, remembered, storageNamed } from '../shared/dom.js';
import { messageOf } from '../shared/words.js';
import { MotionUpload } from './motion_upload.js';
import { Upload } from './upload.js';

/** @type {Record<string, string>} */
const STATE_WORDS = { building: 'being prepared', failed: 'could not be prepared' };
/** Words for what stands behind a person's id. @type {Record<string, string>} */
const FORM_WORDS = { 1024: '1024 × 1024', portrait: 'Portrait, 1080 × 1920', green: 'Before green', lively: 'With motions' };

/** Fires `choice` (detail: the avatar's id) and `pictures` (the previews are there). */
export class Gallery extends /** @type {import('../types.js').EventsClass<{choice: string, pictures: null}>} */ (EventTarget) {
  /** @type {Map<string, string>} object URLs of the previews */
  #pictures = new Map();
  /** @type {Map<string, string[]>} the forms of each person that are not filmed yet */
  #formsOf = new Map();
  /** @type {Set<string>} those that are not built in */
  #own = new Set();
  #memory = remembered(storageNamed('localStorage'), 'avatar');

  /** @param {import('../shared/api.js').Api} api */
  constructor(api) {
    super();
    this.api = api;
    this.element = byId('gallery');
    this.note = byId('gallery-note');
    this.forms = byId('form');
    this.upload = new Upload(api);
    this.motions = new MotionUpload(api);
    this.upload.addEventListener('made', async ({ detail: id }) => {
      await this.load().catch(() => {});
      this.#inputs(`[data-avatar="${CSS.escape(id)}"] input`)[0]?.click();
    });
    this.element.addEventListener('change', ({ target }) => {
      if (!(target instanceof HTMLInputElement) || target.name !== 'avatar') return;
      this.#memory.set(target.value);
      this.#offerForms();
      this.dispatchEvent(new CustomEvent('choice', { detail: target.value }));
    });
    this.forms.addEventListener('change', () => {
      const chosen = this.chosen;
      if (chosen) this.dispatchEvent(new CustomEvent('choice', { detail: chosen }));
    });
  }

  /** @returns {string | null} null leaves the choice to the server */
  get chosen() {
    return this.forms.value || this.#person;
  }

  /** @returns {string | null} the chosen avatar's picture, for the time before the video */
  get poster() {
    return this.#pictures.get(this.#person ?? '') ?? null;
  }

  /** @returns {string | null} the chosen card's avatar */
  get #person() {
    return this.#inputs('input[name=avatar]:checked')[0]?.value ?? null;
  }

  /** @throws {import('../shared/api.js').ApiError | import('../shared/api.js').UnreachableError} */
  async load() {
    const avatars = await this.api.avatars();
    const wanted = this.#person ?? this.#memory.get();
    this.#formsOf = new Map(avatars.map(({ id, forms = [] }) => [id, forms]));
    this.#own = new Set(avatars.filter(({ own }) => own).map(({ id }) => id));
    this.element.replaceChildren(...avatars.map((avatar) => this.#card(avatar)), this.upload.element);
    const inputs = this.#inputs('input[name=avatar]:not(:disabled)');
    const first = inputs.find((input) => input.value === wanted) ?? inputs[0];
    if (first) first.checked = true;
    this.#offerForms();
    this.note.textContent = avatars.length ? '' : 'There is no avatar on this server yet.';
    this.note.hidden = avatars.length > 0;
    await Promise.all(avatars.filter(({ state }) => state === 'ready').map(({ id }) => this.#fetch(id)));
    this.dispatchEvent(new CustomEvent('pictures'));
  }

  /** @param {string} selector of inputs @returns {HTMLInputElement[]} */
  #inputs(selector) {
    return [.../** @type {NodeListOf<HTMLInputElement>} */ (this.element.querySelectorAll(selector))];
  }

  /** Offer the chosen person's other pictures. They are avatars whose ids begin with the person's. */
  #offerForms() {
    const person = this.#person ?? '';
    const forms = this.#formsOf.get(person) ?? [];
    const words = /** @param {string} id */ (id) => FORM_WORDS[id.slice(person.length + 1)] ?? id;
    this.forms.replaceChildren(make('option', { value: '' }, 'Usual'), ...forms.map((id) => make('option', { value: id }, words(id))));
    byId('form-row').hidden = forms.length === 0;
    this.motions.offer(person, this.#own.has(person));
  }

  /** @param {string} words why there is no list */
  explain(words) {
    this.note.textContent = words;
    this.note.hidden = false;
  }

  /** @param {import('../shared/api.js').AvatarEntry} avatar */
  #card({ id, name, state, own = false }) {
    const input = make('input', { type: 'radio', name: 'avatar', value: id });
    const picture = make('img', { alt: '', width: '72', height: '72', 'data-preview': id });
    const label = make('span', { class: 'name' }, name ?? id);
    if (state && state !== 'ready') {
      input.setAttribute('disabled', '');
      label.append(make('small', {}, STATE_WORDS[state] ?? state));
    }
    const card = make('label', { class: 'avatar', 'data-avatar': id }, input, picture, label);
    if (own) card.append(this.#remover(id, name ?? id));
    return card;
  }

  /** @param {string} id @param {string} name */
  #remover(id, name) {
    const button = make('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${name}` }, '×');
    button.addEventListener('click', async (event) => {
      event.preventDefault(); // or the card would be chosen
      if (!confirm(`Remove ${name} from this server?`)) return;
      button.disabled = true; // a second request would be told that there is no such avatar
      try {
        await this.api.removeAvatar(id);
        await this.load();
      } catch (error) {
        button.disabled = false;
        this.explain(messageOf(error));
      }
    });
    return button;
  }

  /** A missing picture leaves a blank card; the avatar works all the same. @param {string} id */
  async #fetch(id) {
    let url = this.#pictures.get(id);
    try {
      url ??= URL.createObjectURL(await this.api.preview(id));
    } catch {
      return;
    }
    this.#pictures.set(id, url);
    for (const picture of /** @type {NodeListOf<HTMLImageElement>} */ (this.element.querySelectorAll('[data-preview]'))) {
      if (picture.dataset.preview === id) picture.src = url;
    }
  }
}
