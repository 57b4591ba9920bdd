/** The live panel: numbers, and beside each what it means. */
import { byId, make } from '../shared/dom.js';
import * as verdicts from '../shared/verdicts.js';

/**
 * The longer list: label, unit, where the value comes from, and digits after the point (0 without).
 *
 * @type {[string, string, (figures: import('../shared/monitor.js').AllFigures) => number | null | undefined, number?][]}
 */
const ALL_FIGURES = [
  ['Look-ahead of the weights', 'ms', ({ server }) => server?.look_ahead_ms],
  ['Mouth latency, middle frame', 'ms', ({ server }) => server?.mouth_latency_ms.p50],
  ['Mouth latency, 95 of 100 frames (above)', 'ms', ({ server }) => server?.mouth_latency_ms.p95],
  ['Mouth latency, 99 of 100 frames', 'ms', ({ server }) => server?.mouth_latency_ms.p99],
  ['Interrupt, until silent', 'ms', ({ server }) => server?.interrupt_tail_ms],
  ['Frames a second, at the server', 'fps', ({ server }) => server?.fps],
  ['Frames with a speaking mouth', '', ({ server }) => server?.frames_rendered],
  ['Frames at rest', '', ({ server }) => server?.frames_idle],
  ['Frames repeated', '', ({ server }) => server?.frames_repeated],
  ['Frames dropped', '', ({ server }) => server?.frames_dropped],
  ['Sound ran dry', 'times', ({ server }) => server?.audio_underruns],
  ['Sound ahead, as this browser sees it', 'ms', ({ here }) => here?.avOffsetHereMs],
  ['Picture buffered here', 'ms', ({ here }) => here?.videoBufferMs],
  ['Sound made up here', '%', ({ here }) => here?.concealedPercent, 1],
  ['Frozen here, in all', 's', ({ here }) => here?.frozenS, 1],
];

/**
 * @param {string} name
 * @param {{value: number | null | undefined, digits?: number, verdict: verdicts.Verdict, note?: string}} figure
 */
function show(name, { value, digits = 0, verdict, note = '' }) {
  const element = /** @type {HTMLElement} */ (document.querySelector(`[data-figure="${name}"]`));
  /** @param {string} key @param {string} text */
  const write = (key, text) => { /** @type {HTMLElement} */ (element.querySelector(`[data-part="${key}"]`)).textContent = text; };
  element.dataset.tone = verdict.tone;
  element.dataset.value = value === null || value === undefined ? '' : String(value);
  write('value', verdicts.numeral(value, digits));
  write('word', verdict.word);
  write('note', note);
}

/** @param {import('../shared/monitor.js').AllFigures} figures */
export function showFigures(figures) {
  const { server, here, freezesLately } = figures;
  const mouthP95 = server?.mouth_latency_ms.p95;
  show('mouth-latency', {
    value: mouthP95, verdict: verdicts.mouthLatencyVerdict(mouthP95, server?.look_ahead_ms ?? 0),
    note: server ? `${verdicts.numeral(server.look_ahead_ms)} ms is look-ahead` : '',
  });
  const offset = server?.av_offset_ms;
  show('av-offset', {
    value: offset, verdict: verdicts.avOffsetVerdict(offset),
    note: verdicts.offsetWords(offset),
  });
  show('fps', { value: here.fps, verdict: verdicts.fpsVerdict(here.fps), note: 'of 25' });
  show('bitrate', {
    value: here.bitrateKbps, verdict: verdicts.lossVerdict(here.lossPercent),
    note: here.lossPercent ? `${verdicts.numeral(here.lossPercent, 1)} % lost` : 'sound and picture',
  });
  show('round-trip', { value: here.roundTripMs, digits: (here.roundTripMs ?? 0) < 10 ? 1 : 0, verdict: verdicts.roundTripVerdict(here.roundTripMs), note: 'there and back' });
  show('freezes', {
    value: here.freezes, verdict: verdicts.freezesVerdict(freezesLately, here.freezes),
    note: here.freezes ? `${verdicts.numeral(here.frozenS, 1)} s in all` : 'since the start',
  });
  showAll(figures);
}

/** @param {import('../shared/monitor.js').AllFigures} figures */
function showAll(figures) {
  const rows = ALL_FIGURES.map(([label, unit, read, digits = 0]) => {
    const value = read(figures);
    const text = `${verdicts.numeral(value, digits)}${unit && value !== null && value !== undefined ? ` ${unit}` : ''}`;
    return make('div', {}, make('dt', {}, label), make('dd', {}, text));
  });
  byId('all-figures').replaceChildren(...rows);
}

/** Back to dashes, so that no figure of the last call is taken for one of this. */
export function clearFigures() {
  const nothing = { fps: null, bitrateKbps: null, lossPercent: null, roundTripMs: null, freezes: 0, frozenS: 0,
    videoBufferMs: null, audioBufferMs: null, avOffsetHereMs: null, concealedPercent: null };
  showFigures({ server: null, here: nothing, freezesLately: 0 });
}
