import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figuresBetween, readingOf, wholeWayMs } from '../../shared/figures.js';

/** @param {object} video @param {object} audio @param {object} pair */
function report(video = {}, audio = {}, pair = {}) {
  return new Map([
    ['v', { type: 'inbound-rtp', kind: 'video', ...video }],
    ['a', { type: 'inbound-rtp', kind: 'audio', ...audio }],
    ['spare', { type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 9 }],
    ['used', { type: 'candidate-pair', state: 'succeeded', ...pair }],
    ['t', { type: 'transport', selectedCandidatePairId: 'used' }],
  ]);
}

test('rates come from the difference of two readings', () => {
  const before = readingOf(report({ framesDecoded: 100, bytesReceived: 50_000, packetsReceived: 400, packetsLost: 1 }), 1000);
  const now = readingOf(report(
    { framesDecoded: 150, bytesReceived: 150_000, packetsReceived: 497, packetsLost: 4, freezeCount: 1, totalFreezesDuration: 0.4 },
    { bytesReceived: 10_000 },
    { currentRoundTripTime: 0.042 },
  ), 3000);
  const figures = figuresBetween(before, now);
  assert.equal(figures.fps, 25);
  assert.equal(figures.bitrateKbps, 440);
  assert.equal(figures.lossPercent, 3);
  assert.equal(figures.roundTripMs, 42);
  assert.equal(figures.freezes, 1);
  assert.equal(figures.frozenS, 0.4);
});

test('a first reading has no rates, and a quiet second no loss', () => {
  const first = readingOf(report({ framesDecoded: 3 }), 0);
  assert.equal(figuresBetween(null, first).fps, null);
  assert.equal(figuresBetween(null, first).bitrateKbps, null);
  assert.equal(figuresBetween(first, { ...first, atMs: 1000 }).lossPercent, null);
});

test('packets that come late do not count as gained', () => {
  const before = readingOf(report({ packetsReceived: 10, packetsLost: 5 }), 0);
  const now = readingOf(report({ packetsReceived: 20, packetsLost: 3 }), 1000);
  assert.equal(figuresBetween(before, now).lossPercent, 0);
});

test('the offset here is positive where sound is ahead, and null until both play', () => {
  const both = readingOf(report({ estimatedPlayoutTimestamp: 5000 }, { estimatedPlayoutTimestamp: 5030 }), 0);
  assert.equal(figuresBetween(null, both).avOffsetHereMs, 30);
  const one = readingOf(report({ estimatedPlayoutTimestamp: 5000 }), 0);
  assert.equal(figuresBetween(null, one).avOffsetHereMs, null);
});

test('an empty report reads as nothing', () => {
  const figures = figuresBetween(null, readingOf(new Map(), 0));
  assert.equal(figures.roundTripMs, null);
  assert.equal(figures.freezes, 0);
});

test('the whole way is known once a mouth has moved', () => {
  assert.equal(wholeWayMs(null, null), null);
  const figures = figuresBetween(null, readingOf(report({}, {}, { currentRoundTripTime: 0.04 }), 0));
  assert.equal(wholeWayMs(200, figures), 270);
});
