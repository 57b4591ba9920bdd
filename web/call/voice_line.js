/**
 * A strip of the microphone's last seconds, now at the right edge. Sound that the avatar has not said yet has one
 * colour, sound that it has said the other; the border between them is the measured delay.
 */
import { byId, contextOf } from '../shared/dom.js';

const BAR_PX = 3;
const STEP_PX = 6;
/** A bar is a frame of the picture, and longer than the time between two readings of the level. */
const STEP_S = 0.04;
/** More than the widest page shows. */
const KEPT_S = 8;

export class VoiceLine {
  /** Seconds until the mouth moves; null while nothing has been measured. @type {number | null} */
  delayS = null;
  /** @type {{atS: number, level: number}[]} oldest first */
  #levels = [];

  constructor() {
    this.canvas = byId('voice-line');
    this.words = byId('voice-delay');
    new ResizeObserver(() => this.draw(performance.now() / 1000)).observe(this.canvas);
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      matchMedia(query).addEventListener('change', () => this.draw(performance.now() / 1000));
    }
  }

  /** @param {number} atS @param {number} level 0..1 */
  push(atS, level) {
    this.#levels.push({ atS, level });
    while (this.#levels[0].atS < atS - KEPT_S) this.#levels.shift();
  }

  /** Show a line of dots again. */
  clear() {
    this.#levels = [];
    this.measure(null);
    this.draw(performance.now() / 1000);
  }

  /** @param {number | null} delayMs */
  measure(delayMs) {
    this.delayS = delayMs === null ? null : delayMs / 1000;
    this.words.textContent = delayMs === null ? 'on its lips' : `on its lips, about ${(delayMs / 1000).toFixed(2)} s later`;
  }

  /** @param {number} nowS */
  draw(nowS) {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = contextOf(canvas);
    const style = getComputedStyle(canvas);
    const colours = ['--voice', '--mouth', '--dot'].map((name) => style.getPropertyValue(name));
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.lineCap = 'round';
    context.lineWidth = BAR_PX;
    // Bars are fixed to time, not to the screen: else each would flicker as the line moves on.
    const newest = Math.floor(nowS / STEP_S);
    for (let bar = 0; bar * STEP_PX < width; bar += 1) {
      const fromS = (newest - bar) * STEP_S;
      const level = this.#loudest(fromS, fromS + STEP_S);
      const x = width - BAR_PX - (nowS - fromS - STEP_S) / STEP_S * STEP_PX - STEP_PX;
      const half = Math.max(0.01, level * (height - BAR_PX) / 2);
      const said = this.delayS !== null && nowS - fromS > this.delayS;
      context.strokeStyle = level < 0.03 ? colours[2] : colours[said ? 1 : 0];
      context.beginPath();
      context.moveTo(x, height / 2 - half);
      context.lineTo(x, height / 2 + half);
      context.stroke();
    }
  }

  /** @param {number} fromS @param {number} toS */
  #loudest(fromS, toS) {
    let loudest = 0;
    for (let index = this.#levels.length - 1; index >= 0; index -= 1) {
      const { atS, level } = this.#levels[index];
      if (atS < fromS) break;
      if (atS < toS) loudest = Math.max(loudest, level);
    }
    return loudest;
  }
}
