/**
 * From getStats() to numbers, by the difference of two readings. Pure.
 *
 * @typedef {{
 *   atMs: number, frames: number, framesReceived: number, framesDropped: number, bytes: number, packets: number, packetsLost: number,
 *   freezes: number, frozenS: number, bufferS: number, bufferCount: number, audioBufferS: number, audioBufferCount: number,
 *   concealed: number, samples: number,
 *   playoutAudioMs: number | null, playoutVideoMs: number | null, roundTripS: number | null,
 * }} Reading
 * @typedef {{
 *   fps: number | null, bitrateKbps: number | null, lossPercent: number | null, roundTripMs: number | null,
 *   freezes: number, frozenS: number, videoBufferMs: number | null, audioBufferMs: number | null, avOffsetHereMs: number | null,
 *   concealedPercent: number | null,
 * }} Figures
 */

/**
 * The pair that carries the media now; others are spares, or of a path already left.
 *
 * @param {RTCStatsReport | Map<string, any>} report
 */
function activePair(report) {
  for (const entry of report.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId) {
      return report.get(entry.selectedCandidatePairId) ?? null;
    }
  }
  for (const entry of report.values()) {
    if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') return entry;
  }
  return null;
}

/**
 * @param {RTCStatsReport | Map<string, any>} report
 * @param {number} atMs
 * @returns {Reading}
 */
export function readingOf(report, atMs) {
  /** @type {any} */ let video = {};
  /** @type {any} */ let audio = {};
  for (const entry of report.values()) {
    if (entry.type !== 'inbound-rtp') continue;
    if (entry.kind === 'video') video = entry;
    if (entry.kind === 'audio') audio = entry;
  }
  return {
    atMs,
    frames: video.framesDecoded ?? 0,
    framesReceived: video.framesReceived ?? 0,
    framesDropped: video.framesDropped ?? 0,
    bytes: (video.bytesReceived ?? 0) + (audio.bytesReceived ?? 0),
    packets: (video.packetsReceived ?? 0) + (audio.packetsReceived ?? 0),
    packetsLost: (video.packetsLost ?? 0) + (audio.packetsLost ?? 0),
    freezes: video.freezeCount ?? 0,
    frozenS: video.totalFreezesDuration ?? 0,
    bufferS: video.jitterBufferDelay ?? 0,
    bufferCount: video.jitterBufferEmittedCount ?? 0,
    audioBufferS: audio.jitterBufferDelay ?? 0,
    audioBufferCount: audio.jitterBufferEmittedCount ?? 0,
    concealed: audio.concealedSamples ?? 0,
    samples: audio.totalSamplesReceived ?? 0,
    playoutAudioMs: audio.estimatedPlayoutTimestamp ?? null,
    playoutVideoMs: video.estimatedPlayoutTimestamp ?? null,
    roundTripS: activePair(report)?.currentRoundTripTime ?? null,
  };
}

/**
 * @param {number} part
 * @param {number} whole
 * @returns {number | null} null where there was nothing to divide by
 */
const ratio = (part, whole) => (whole > 0 ? part / whole : null);

/** @param {number | null} value @param {number} factor */
const times = (value, factor) => (value === null ? null : value * factor);

/**
 * @param {Reading | null} before of the same peer connection; null at its first reading
 * @param {Reading} now
 * @returns {Figures}
 */
export function figuresBetween(before, now) {
  const from = before ?? now;
  const seconds = (now.atMs - from.atMs) / 1000;
  const lost = Math.max(0, now.packetsLost - from.packetsLost);
  const arrived = now.packets - from.packets;
  return {
    fps: ratio(now.frames - from.frames, seconds),
    bitrateKbps: times(ratio(now.bytes - from.bytes, seconds), 8 / 1000),
    lossPercent: times(ratio(lost, lost + arrived), 100),
    roundTripMs: times(now.roundTripS, 1000),
    freezes: now.freezes,
    frozenS: now.frozenS,
    videoBufferMs: times(ratio(now.bufferS - from.bufferS, now.bufferCount - from.bufferCount), 1000),
    audioBufferMs: times(ratio(now.audioBufferS - from.audioBufferS, now.audioBufferCount - from.audioBufferCount), 1000),
    avOffsetHereMs: now.playoutAudioMs !== null && now.playoutVideoMs !== null ? now.playoutAudioMs - now.playoutVideoMs : null,
    concealedPercent: times(ratio(now.concealed - from.concealed, now.samples - from.samples), 100),
  };
}

/** What neither end reports: a 20 ms packet filling up, the camera-less half of encode and decode. */
const UNREPORTED_MS = 30;

/**
 * Estimate the way from the mouth of the speaker to the mouth on the screen.
 *
 * @param {number | null | undefined} mouthLatencyMs
 * @param {Figures | null} figures
 * @returns {number | null} milliseconds; null before the first utterance
 */
export function wholeWayMs(mouthLatencyMs, figures) {
  if (mouthLatencyMs === null || mouthLatencyMs === undefined) return null;
  return mouthLatencyMs + (figures?.roundTripMs ?? 0) + (figures?.videoBufferMs ?? 0) + UNREPORTED_MS;
}
