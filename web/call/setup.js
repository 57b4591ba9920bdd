/** The microphone's choice, its processing and its level. */
import { byId, make, remembered, storageNamed } from '../shared/dom.js';
import { levelWords } from '../shared/verdicts.js';

/** The checkboxes, and the setting of each. */
const PROCESSING = /** @type {const} */ ([
  ['echo-cancellation', 'echoCancellation'], ['noise-suppression', 'noiseSuppression'], ['auto-gain', 'autoGainControl'],
]);
const WORDS_PERIOD_MS = 500;
/** How long a silence may be before the page doubts the microphone. */
const DOUBT_S = 5;

export class Setup {
  #memory = remembered(storageNamed('localStorage'), 'microphone');
  /** Two spans of time: their maximum looks back between one and two of them. */
  #loudest = { fromS: 0, level: 0, before: 0 };
  #clippedAtS = -Infinity;
  #wordsAtMs = 0;

  /** @param {import('../shared/microphone.js').Microphone} microphone @param {(error: unknown) => void} onError */
  constructor(microphone, onError) {
    this.microphone = microphone;
    this.select = byId('microphone');
    this.note = byId('microphone-note');
    this.level = byId('level');
    microphone.deviceId = this.#memory.get() ?? '';
    microphone.addEventListener('devices', () => this.list());
    microphone.addEventListener('track', () => this.#showProcessing());
    this.select.addEventListener('change', () => {
      this.#memory.set(this.select.value);
      microphone.choose(this.select.value).catch(onError);
    });
    for (const [id, name] of PROCESSING) {
      const box = byId(id);
      box.addEventListener('change', () => {
        microphone.process({ [name]: box.checked }).then(() => this.#showProcessing(), onError);
      });
    }
  }

  async list() {
    const devices = (await this.microphone.list().catch(() => [])).filter(({ deviceId }) => deviceId && deviceId !== 'default');
    const options = devices.map(({ deviceId, label }, index) => make('option', { value: deviceId }, label || `Microphone ${index + 1}`));
    this.select.replaceChildren(make('option', { value: '' }, 'The system’s own choice'), ...options);
    this.select.value = this.microphone.deviceId;
    // A device that is unplugged just now keeps its place in memory, for when it comes back.
    if (this.select.selectedIndex < 0) this.select.value = '';
  }

  /** Show what the browser does, which may not be what it was asked. */
  #showProcessing() {
    const settings = this.microphone.track?.getSettings() ?? {};
    for (const [id, name] of PROCESSING) {
      if (name in settings) byId(id).checked = Boolean(settings[name]);
    }
  }

  /** @param {{level: number, clipped: boolean}} heard @param {number} nowMs */
  show({ level, clipped }, nowMs) {
    const nowS = nowMs / 1000;
    const { muted } = this.microphone;
    this.level.style.setProperty('--level', level.toFixed(3));
    const heard = this.#loudest;
    if (nowS - heard.fromS > DOUBT_S) this.#loudest = { fromS: nowS, level, before: heard.level };
    else heard.level = Math.max(heard.level, level);
    if (clipped) this.#clippedAtS = nowS;
    if (nowMs - this.#wordsAtMs < WORDS_PERIOD_MS) return;
    this.#wordsAtMs = nowMs;
    const loudest = Math.max(this.#loudest.level, this.#loudest.before);
    const words = levelWords({ level, loudest, clipped: nowS - this.#clippedAtS < 2, muted });
    this.level.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    this.level.setAttribute('aria-valuetext', words);
    if (this.note.textContent !== words) this.note.textContent = words;
  }

  /** Begin without doubt: the first seconds are for breathing in. @param {number} nowMs */
  opened(nowMs) {
    this.#loudest = { fromS: nowMs / 1000, level: 0, before: 1 };
  }

  closed() {
    this.level.style.setProperty('--level', '0');
    this.level.setAttribute('aria-valuenow', '0');
    this.level.setAttribute('aria-valuetext', 'closed');
    this.note.textContent = 'Closed until you start.';
  }
}
