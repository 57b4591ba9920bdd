/**
 * When an unattended page must reload. Pure: the time is an argument.
 *
 * Other modules recover without a reload where they can: the call from a lost connection, the monitor from a still picture.
 */

/** A page that is not live though its server answers. */
export const STRANDED_MS = 90_000;
/** A page that is live, and shows nothing new. */
export const STILL_MS = 20_000;
const FAULTS = 3;
const FAULTS_WITHIN_MS = 60_000;
/** Once a day while idle: the reload brings a new version of the page and frees leaked memory. */
export const OLD_MS = 24 * 3600_000;
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 960_000;
const REMEMBERED_MS = 3600_000;

export class Watchdog {
  #bornMs;
  /** @type {number[]} */
  #reloads;
  #liveMs;
  #movedMs;
  #frames = -1;
  /** @type {number[]} */
  #faults = [];

  /** @param {number} nowMs @param {number[]} reloads when the pages before this one reloaded */
  constructor(nowMs, reloads = []) {
    this.#bornMs = this.#liveMs = this.#movedMs = nowMs;
    this.#reloads = reloads.filter((atMs) => atMs <= nowMs && nowMs - atMs < REMEMBERED_MS);
  }

  /**
   * @param {{live: boolean, frames: number, visible: boolean}} seen frames: shown so far; a hidden page shows none
   * @param {number} nowMs
   */
  note({ live, frames, visible }, nowMs) {
    if (live) this.#liveMs = nowMs;
    if (!live || !visible || frames !== this.#frames) this.#movedMs = nowMs;
    this.#frames = frames;
  }

  /** A script failed where nothing expects it. @param {number} nowMs */
  fault(nowMs) {
    this.#faults = [...this.#faults.filter((atMs) => nowMs - atMs < FAULTS_WITHIN_MS), nowMs];
  }

  /**
   * @param {number} nowMs
   * @param {{idle: boolean}} state idle: whether the kiosk is unused
   * @returns {'' | 'stranded' | 'still' | 'faults' | 'old'} why to reload; '' for no reload
   */
  verdict(nowMs, { idle }) {
    const last = this.#reloads.at(-1);
    const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#reloads.length - 1));
    if (last !== undefined && nowMs - last < waitMs) return '';
    if (this.#faults.length >= FAULTS) return 'faults';
    if (nowMs - this.#liveMs >= STRANDED_MS) return 'stranded';
    if (nowMs - this.#movedMs >= STILL_MS) return 'still';
    return idle && nowMs - this.#bornMs >= OLD_MS ? 'old' : '';
  }

  /** @param {number} nowMs @returns {number[]} what the next page is told */
  reloading(nowMs) {
    return [...this.#reloads, nowMs].slice(-10);
  }
}
