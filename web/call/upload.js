/** Uploads a portrait or a short clip, of which the server makes an avatar. */
import { ApiError } from '../shared/api.js';
import { byId, make } from '../shared/dom.js';
import { messageOf } from '../shared/words.js';

/** What the server takes for a picture; a camera's photographs are larger. */
const MOST_PIXELS = 1920 * 1080;

/** Fires `made` (detail: the avatar's id). */
export class Upload extends /** @type {import('../types.js').EventsClass<{made: string}>} */ (EventTarget) {
  #abort = new AbortController();
  /** @type {File | null} that is being asked about */
  #asked = null;

  /** @param {import('../shared/api.js').Api} api */
  constructor(api) {
    super();
    this.api = api;
    this.note = byId('upload-note');
    this.file = make('input', { type: 'file', id: 'upload', accept: 'image/jpeg,image/png,image/webp,image/avif,image/gif,image/bmp,image/tiff,video/mp4,video/quicktime,video/webm,video/x-matroska' });
    this.share = make('span', { class: 'plus', 'aria-hidden': 'true' }, '+');
    this.element = make('label', { class: 'avatar add' }, this.file, this.share, make('span', { class: 'name' }, 'Add a face'));
    this.file.addEventListener('change', () => {
      const file = this.file.files?.[0];
      this.file.value = '';
      if (file) this.#ask(file);
    });
    byId('consent').addEventListener('change', () => this.#showWho());
    byId('consent').addEventListener('close', () => this.#answered());
  }

  /** Stop following what the server makes; it goes on. */
  leave() {
    this.#abort.abort();
  }

  /** Ask whose face it is before it leaves this machine. @param {File} file */
  #ask(file) {
    const dialog = byId('consent');
    dialog.querySelector('form')?.reset();
    this.#showWho();
    dialog.returnValue = 'cancel'; // what Escape leaves
    this.#asked = file;
    dialog.showModal();
  }

  /** Its event comes a moment after a dialog has closed, when it may be open again for the next file. */
  #answered() {
    const file = this.#asked;
    if (!file || byId('consent').returnValue !== 'make') return;
    this.#asked = null;
    const eyesShut = byId('eyes-shut').files?.[0];
    this.#send(file, consent(), byId('rest').value, eyesShut);
  }

  #showWho() {
    const who = byId('consent-who');
    who.hidden = chosenConsent() !== 'agreed';
    who.required = !who.hidden;
    if (!who.hidden) who.focus();
  }

  /** @param {File} file @param {string} agreed @param {string} rest @param {File | undefined} eyesShut */
  async #send(file, agreed, rest, eyesShut) {
    this.#busy(true);
    this.#say(`Sending ${file.name} …`);
    try {
      const looks = { rest, eyesShut: eyesShut && (await smaller(eyesShut)) };
      const id = await this.api.addAvatar(await smaller(file), nameOf(file), agreed, looks);
      await this.api.followAvatar(id, (build) => this.#follow(build), this.#abort.signal);
      const [advice] = await this.api.adviceOn(id).catch(() => []);
      this.#say(advice ? `It is there, and would look better: ${advice}.` : '');
      this.dispatchEvent(new CustomEvent('made', { detail: id }));
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#say(refusal(error));
    } finally {
      this.#busy(false);
    }
  }

  /** @param {import('../types.js').AvatarBuild} build */
  #follow({ state, progress, message }) {
    if (state === 'failed') throw new Error(`This face cannot be used: ${message}.`);
    this.share.textContent = `${Math.round(progress * 100)} %`;
    this.#say('Looking for the face, and getting it ready to speak …');
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.file.disabled = busy;
    this.element.classList.toggle('busy', busy);
    if (!busy) this.share.textContent = '+';
  }

  /** @param {string} words */
  #say(words) {
    this.note.textContent = words || 'A portrait or a clip of up to a minute: of yourself, or of someone who agrees.';
  }
}

/** @param {unknown} error @returns {string} */
function refusal(error) {
  if (error instanceof ApiError && [401, 403].includes(error.status)) return 'Only this server’s operator adds faces.';
  if (error instanceof ApiError && error.reason === 'full') return 'Other faces are being made. Try again in a moment.';
  return messageOf(error);
}

/** @returns {string | undefined} the value of the choice made in the dialog */
function chosenConsent() {
  return /** @type {HTMLInputElement | null} */ (byId('consent').querySelector('[name=consent]:checked'))?.value;
}

/** @returns {string} what was said about whose face it is, for the record */
function consent() {
  const value = chosenConsent();
  if (value === 'agreed') return `agreed: ${byId('consent-who').value.trim()}`;
  return value === 'own' ? 'their own face, said by who uploaded it' : 'no real person, said by who uploaded it';
}

/** @param {File} file @returns {string} what people call it */
function nameOf({ name }) {
  return name.replace(/\.[^.]*$/, '').replace(/[_-]+/g, ' ').trim();
}

/**
 * A large photograph made smaller before it is sent; all else as it is.
 *
 * @param {File} file
 * @returns {Promise<Blob>}
 */
async function smaller(file) {
  if (!file.type.startsWith('image/')) return file;
  const picture = await createImageBitmap(file).catch(() => null); // upright, as its EXIF says
  if (!picture || picture.width * picture.height <= MOST_PIXELS) return file;
  const scale = Math.sqrt(MOST_PIXELS / (picture.width * picture.height));
  const canvas = new OffscreenCanvas(Math.floor(picture.width * scale), Math.floor(picture.height * scale));
  const brush = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  brush.imageSmoothingQuality = 'high';
  brush.fillStyle = 'rgb(190 190 190)'; // JPEG knows no transparency; the server shows the same grey
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.93 });
}
