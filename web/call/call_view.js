/** The video, what the call is doing, and what went wrong. */
import { byId } from '../shared/dom.js';
import { clockWords } from '../shared/verdicts.js';
import { reconnectingWords, wordsFor } from '../shared/words.js';

const STATE_LINES = {
  idle: 'Ready when you are.',
  asking: 'Waiting for the microphone. Please allow it.',
  connecting: 'Connecting …',
  live: 'Live: speak.',
  reconnecting: 'Reconnecting …',
  failed: 'Not connected.',
};

/** Fires `action`: the button of the notice was pressed. */
export class CallView extends /** @type {import('../types.js').EventsClass<{action: null}>} */ (EventTarget) {
  #countdown = 0;
  #startedMs = 0;
  #clock = 0;
  /** Whether a countdown to the next try is running. */
  waiting = false;

  constructor() {
    super();
    this.video = byId('avatar-video');
    // The whole picture shows, its mark included, whatever its shape; a very long one gets bars.
    this.video.addEventListener('resize', () => {
      const ratio = this.video.videoWidth / this.video.videoHeight;
      if (ratio) byId('portrait').style.setProperty('--ratio', String(Math.min(16 / 9, Math.max(9 / 16, ratio))));
    });
    byId('notice-action').addEventListener('click', () => this.dispatchEvent(new CustomEvent('action')));
  }

  /** @param {import('../shared/call.js').Change} change */
  show(change) {
    const { state, reason = '' } = change;
    const root = document.documentElement;
    root.dataset.state = state;
    if (reason) root.dataset.reason = reason;
    else delete root.dataset.reason;
    clearInterval(this.#countdown);
    this.waiting = (change.retryInMs ?? 0) > 0;
    const words = this.#words(change);
    this.#notice(words, change);
    const line = state === 'failed' && this.waiting ? 'Waiting for the server …' : STATE_LINES[state];
    this.say(line, words ? ` ${words.title}. ${words.text}` : '');
    this.#time(state);
  }

  /**
   * Put a line under the picture; a screen reader says it, with the detail.
   *
   * @param {string} line
   * @param {string} [detail] shown elsewhere, so here for screen readers only
   */
  say(line, detail = '') {
    if (byId('status-line').textContent !== line) byId('status-line').textContent = line;
    if (byId('status-detail').textContent !== detail) byId('status-detail').textContent = detail;
  }

  /** Say again what the call's state is, after a line about something else. */
  sayState() {
    this.say(STATE_LINES[/** @type {import('../shared/call.js').CallState} */ (document.documentElement.dataset.state)]);
  }

  /** @param {{state: string} & import('../shared/call.js').Detail} change */
  #words({ state, reason = 'failed', message, attempt = 1 }) {
    if (state === 'failed') return wordsFor(reason, message);
    return state === 'reconnecting' ? reconnectingWords(reason, attempt) : null;
  }

  /** @param {import('../shared/words.js').Words | null} words @param {import('../shared/call.js').Detail} detail */
  #notice(words, { retryInMs = 0 }) {
    const notice = byId('notice');
    const button = byId('notice-action');
    notice.hidden = !words;
    if (!words) return;
    byId('notice-title').textContent = words.title;
    byId('notice-text').textContent = words.text;
    button.hidden = !words.action;
    button.textContent = words.action ?? '';
    const endMs = performance.now() + retryInMs;
    const tick = () => {
      const seconds = Math.ceil((endMs - performance.now()) / 1000);
      byId('notice-countdown').textContent = retryInMs === 0 ? '' : seconds > 0 ? `Next try in ${seconds} s` : 'Trying …';
    };
    tick();
    if (retryInMs) this.#countdown = setInterval(tick, 250);
  }

  /** The clock runs from the first live moment to the end, through reconnections. @param {string} state */
  #time(state) {
    const clock = byId('clock');
    if (state === 'live' && !this.#clock) {
      this.#startedMs = performance.now();
      const tick = () => { clock.textContent = clockWords((performance.now() - this.#startedMs) / 1000); };
      tick();
      this.#clock = setInterval(tick, 1000);
    } else if (['idle', 'failed'].includes(state)) {
      clearInterval(this.#clock);
      this.#clock = 0;
    }
    clock.hidden = this.#clock === 0;
  }

  /** @param {MediaStream | null} stream null goes back to the poster */
  play(stream) {
    if (this.video.srcObject === stream) return;
    this.video.srcObject = stream;
    if (!stream) {
      this.video.load();
      return;
    }
    this.video.play().catch(() => {
      // Some browsers play sound only after a gesture: play it silently then.
      this.video.muted = true;
      byId('hear').checked = false;
      this.video.play().catch(() => {});
    });
  }

  /** @param {string | null} url */
  poster(url) {
    if (url) this.video.poster = url;
  }
}
