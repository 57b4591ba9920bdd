/**
 * What a number means, in a word or two. Pure; every threshold of the panel stands here.
 *
 * @typedef {'good' | 'fair' | 'poor' | 'none'} Tone
 * @typedef {{word: string, tone: Tone}} Verdict
 */

/** @param {Tone} tone @param {string} word @returns {Verdict} */
const verdict = (tone, word) => ({ tone, word });

/** @param {string} word */
const nothingYet = (word) => verdict('none', word);

/** What rendering and sending may add to the look-ahead at p95: the server's own target, and twice it. */
const MOUTH_BUDGET_MS = 60;

/**
 * @param {number | null | undefined} p95
 * @param {number} lookAheadMs the part that the weights need, whatever the machine
 */
export function mouthLatencyVerdict(p95, lookAheadMs) {
  if (p95 === null || p95 === undefined) return nothingYet('speak to measure');
  if (p95 <= lookAheadMs + MOUTH_BUDGET_MS) return verdict('good', 'prompt');
  if (p95 <= lookAheadMs + 2 * MOUTH_BUDGET_MS) return verdict('fair', 'a little late');
  return verdict('poor', 'late');
}

/**
 * EBU R37 allows sound 40 ms early to 60 ms late; ITU-R BT.1359 finds that people notice from 45 early or 125 late.
 *
 * @param {number | null | undefined} offsetMs positive: sound ahead of the picture
 */
export function avOffsetVerdict(offsetMs) {
  if (offsetMs === null || offsetMs === undefined) return nothingYet('speak to measure');
  if (offsetMs <= 40 && offsetMs >= -60) return verdict('good', 'in sync');
  if (offsetMs <= 45 && offsetMs >= -125) return verdict('fair', 'hard to notice');
  return verdict('poor', offsetMs > 0 ? 'sound too early' : 'sound too late');
}

/** @param {number | null | undefined} offsetMs */
export function offsetWords(offsetMs) {
  if (offsetMs === null || offsetMs === undefined) return '';
  const rounded = Math.round(Math.abs(offsetMs));
  if (rounded === 0) return 'at the same moment';
  return `sound ${rounded} ms ${offsetMs > 0 ? 'ahead' : 'behind'}`;
}

/** @param {number | null} fps of the 25 that the server sends */
export function fpsVerdict(fps) {
  if (fps === null) return nothingYet('waiting');
  if (fps >= 23.5) return verdict('good', 'smooth');
  if (fps >= 18) return verdict('fair', 'uneven');
  return fps > 0 ? verdict('poor', 'choppy') : verdict('poor', 'standing still');
}

/**
 * A resting face needs few bits, so it is the loss that is judged, not the rate.
 *
 * @param {number | null} lossPercent
 */
export function lossVerdict(lossPercent) {
  if (lossPercent === null) return nothingYet('waiting');
  if (lossPercent < 0.5) return verdict('good', 'nothing lost');
  if (lossPercent < 3) return verdict('fair', 'a little lost');
  return verdict('poor', 'much lost');
}

/** @param {number | null} roundTripMs */
export function roundTripVerdict(roundTripMs) {
  if (roundTripMs === null) return nothingYet('waiting');
  if (roundTripMs <= 100) return verdict('good', 'near');
  if (roundTripMs <= 250) return verdict('fair', 'far');
  return verdict('poor', 'very far');
}

/**
 * @param {number} lately freezes within the last half minute
 * @param {number} ever
 */
export function freezesVerdict(lately, ever) {
  if (lately === 0) return verdict('good', ever === 0 ? 'none so far' : 'steady again');
  return lately <= 2 ? verdict('fair', 'a hitch') : verdict('poor', 'keeps freezing');
}

/**
 * Voices sit between -40 and -12 dB: the meter starts at -60, and bends so that syllables stand out.
 *
 * @param {Float32Array} samples -1..1
 * @returns {{level: number, clipped: boolean}} level 0..1; a voice is about 0.2 to 0.7
 */
export function levelOf(samples) {
  let power = 0;
  let peak = 0;
  for (const sample of samples) {
    power += sample * sample;
    peak = Math.max(peak, Math.abs(sample));
  }
  const db = 10 * Math.log10(power / Math.max(1, samples.length) + 1e-12);
  return { level: Math.min(1, Math.max(0, (db + 60) / 60) ** 1.8), clipped: peak >= 0.99 };
}

/**
 * @param {{level: number, loudest: number, clipped: boolean, muted: boolean}} microphone loudest: within some seconds
 * @returns {string}
 */
export function levelWords({ level, loudest, clipped, muted }) {
  if (muted) return 'Muted: nothing is sent.';
  if (clipped) return 'Too loud: move back a little.';
  if (loudest < 0.06) return 'We hear nothing. Is this the right microphone?';
  if (loudest < 0.2) return 'Rather quiet: come closer.';
  return level > 0.2 ? 'We hear you well.' : 'Listening.';
}

/** @param {number | null | undefined} value @param {number} [digits] */
export function numeral(value, digits = 0) {
  if (value === null || value === undefined) return '–';
  const text = Math.abs(value).toFixed(digits);
  // A real minus sign, and never one before a zero.
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** @param {number} seconds */
export function clockWords(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
