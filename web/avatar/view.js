/** What the element shows: picture, poster, captions, and what those who see it must be told. */
import { contextOf, make } from '../shared/dom.js';

const STYLE = `
:host { display: inline-block; position: relative; overflow: hidden; inline-size: 320px; vertical-align: bottom; background: #0b100f; color: #f6faf8;
  font: 16px/1.35 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; container-type: inline-size; }
:host([hidden]), [hidden] { display: none !important; }
video { display: block; inline-size: 100%; block-size: 100%; aspect-ratio: auto 1; object-fit: inherit; }
:host { object-fit: contain; }
img, canvas { position: absolute; inset: 0; inline-size: 100%; block-size: 100%; object-fit: inherit; transition: opacity .3s; }
img.gone, canvas.gone { opacity: 0; pointer-events: none; }
p { position: absolute; margin: 0; }
p:empty { display: none; }
[part=caption] { inset: auto 4% 4%; inline-size: fit-content; max-inline-size: 92%; margin-inline: auto; padding: .25em .7em .3em; border-radius: .4em;
  background: rgb(8 13 12 / .78); font-size: clamp(.8rem, 4.6cqi, 1.75rem); font-weight: 550; text-align: center; text-wrap: balance; }
[part=status] { inset: 0; display: grid; place-content: center; padding: 8%; text-align: center; background: rgb(8 13 12 / .5); }
[part=recorded] { inset: 12px auto auto 12px; padding: 2px 10px 3px; border-radius: 99px; background: rgb(8 13 12 / .7); font-size: 14px; font-weight: 600; }
[part=recorded]::before { content: ""; display: inline-block; width: 8px; height: 8px; margin-right: 6px; border-radius: 50%; background: #ff5f6d; }
button { position: absolute; inset: 12px 12px auto auto; padding: .5em 1em; border: 0; border-radius: 99px; background: #f6faf8; color: #0b100f; font: inherit; font-weight: 600; cursor: pointer; }
button:focus-visible { outline: 3px solid #8fb0ff; outline-offset: 3px; }
@media (prefers-reduced-motion: reduce) { img, canvas { transition: none; } }
`;
/** The mouth has closed, and what is shown of it has arrived. */
const AT_REST_MS = 400;
const CAPTION_STAYS_MS = 1500;

/** @type {CSSStyleSheet | null} */
let sheet = null;

export class View {
  #video = make('video', { part: 'video', playsinline: '', disablepictureinpicture: '', 'aria-label': 'A face made by AI' });
  #poster = make('img', { part: 'poster', alt: '' });
  #still = make('canvas', { part: 'still', class: 'gone', 'aria-hidden': 'true' });
  #caption = make('p', { part: 'caption', dir: 'auto' });
  #status = make('p', { part: 'status', role: 'status' });
  #recorded = make('p', { part: 'recorded', role: 'status', hidden: '' }, 'Recorded');
  #sound = make('button', { part: 'sound', type: 'button', hidden: '' }, 'Sound on');
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #isMuted = false;
  #isSpeaking = false;
  #holding = 0;
  #leaving = 0;
  #posterUrl = '';

  /** @param {ShadowRoot} root */
  constructor(root) {
    if (!sheet) {
      sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
    }
    root.adoptedStyleSheets = [sheet];
    this.#poster.hidden = true;
    this.#poster.addEventListener('error', () => { this.#poster.hidden = true; });
    this.#poster.addEventListener('load', () => { this.#poster.hidden = false; });
    root.append(this.#video, this.#still, this.#poster, this.#caption, this.#status, this.#recorded, this.#sound);
    this.#video.addEventListener('loadeddata', () => {
      this.#poster.classList.add('gone');
      this.#rest();
    });
    this.#sound.addEventListener('click', () => this.mute(this.#isMuted));
    this.#calm.addEventListener('change', () => this.#rest());
  }

  /** @param {MediaStream | null} stream null: the poster again */
  play(stream) {
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    if (stream) {
      this.resume();
      return;
    }
    this.#poster.classList.remove('gone');
    this.#still.classList.add('gone');
    this.#sound.hidden = true;
  }

  /** Go on after a move in the document, where browsers pause. */
  resume() {
    if (!this.#video.srcObject) return;
    this.#video.muted = this.#isMuted;
    this.#video.play().then(() => { this.#sound.hidden = true; }).catch(async ({ name }) => {
      if (name !== 'NotAllowedError') return; // another stream took its place, which is played by itself
      // Browsers play sound only after a gesture: play silently, and offer one.
      this.#video.muted = true;
      const plays = await this.#video.play().then(() => true, () => false);
      this.#sound.hidden = !plays || this.#isMuted;
    });
  }

  /** @param {boolean} isMuted as the page wishes; without a gesture browsers may be quiet in any case */
  mute(isMuted) {
    this.#isMuted = isMuted;
    this.resume();
  }

  /** @param {string | Blob | null} picture shown until the first picture of the session */
  poster(picture) {
    if (this.#posterUrl) URL.revokeObjectURL(this.#posterUrl);
    this.#posterUrl = picture instanceof Blob ? URL.createObjectURL(picture) : '';
    this.#poster.hidden = true;
    const url = this.#posterUrl || (typeof picture === 'string' ? picture : '');
    if (url) this.#poster.src = url;
    else this.#poster.removeAttribute('src');
  }

  /** @param {string} text why there is no face; '' hides it */
  explain(text) {
    this.#status.textContent = text;
  }

  /** @param {string} text '' lets the former one leave */
  caption(text) {
    clearTimeout(this.#leaving);
    if (text) this.#caption.textContent = text;
    else this.#leaving = setTimeout(() => { this.#caption.textContent = ''; }, CAPTION_STAYS_MS);
  }

  /** @param {boolean} isShown */
  showCaptions(isShown) {
    this.#caption.hidden = !isShown;
  }

  /** @param {boolean} isRecorded */
  tellRecorded(isRecorded) {
    this.#recorded.hidden = !isRecorded;
  }

  /** @param {boolean} isSpeaking */
  speak(isSpeaking) {
    this.#isSpeaking = isSpeaking;
    this.#rest();
  }

  /** For those who want less motion: a face that says nothing stands still, above the picture that goes on. */
  #rest() {
    clearTimeout(this.#holding);
    if (!this.#calm.matches || this.#isSpeaking) {
      this.#still.classList.add('gone');
      return;
    }
    this.#holding = setTimeout(() => {
      const { videoWidth: width, videoHeight: height } = this.#video;
      if (!width || this.#isSpeaking) return;
      Object.assign(this.#still, { width, height });
      contextOf(this.#still).drawImage(this.#video, 0, 0, width, height);
      this.#still.classList.remove('gone');
    }, AT_REST_MS);
  }
}
