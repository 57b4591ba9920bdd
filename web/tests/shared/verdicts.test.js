import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as verdicts from '../../shared/verdicts.js';

test('a late mouth is judged against the look-ahead of the weights', () => {
  assert.equal(verdicts.mouthLatencyVerdict(230, 172.5).tone, 'good');
  assert.equal(verdicts.mouthLatencyVerdict(230, 112.5).tone, 'fair');
  assert.equal(verdicts.mouthLatencyVerdict(230, 62.5).word, 'late');
  assert.equal(verdicts.mouthLatencyVerdict(null, 172.5).tone, 'none');
});

test('early sound is forgiven less than late sound', () => {
  assert.equal(verdicts.avOffsetVerdict(-55).tone, 'good');
  assert.equal(verdicts.avOffsetVerdict(55).word, 'sound too early');
  assert.equal(verdicts.avOffsetVerdict(-100).tone, 'fair');
  assert.equal(verdicts.avOffsetVerdict(-130).word, 'sound too late');
  assert.equal(verdicts.offsetWords(-8.4), 'sound 8 ms behind');
});

test('every verdict copes with nothing measured yet', () => {
  for (const judge of [verdicts.fpsVerdict, verdicts.lossVerdict, verdicts.roundTripVerdict]) {
    assert.equal(judge(null).tone, 'none');
  }
});

test('an old freeze is forgiven', () => {
  assert.equal(verdicts.freezesVerdict(0, 3).word, 'steady again');
  assert.equal(verdicts.freezesVerdict(1, 4).tone, 'fair');
  assert.equal(verdicts.freezesVerdict(3, 3).tone, 'poor');
});

test('the level spans silence to full scale', () => {
  assert.deepEqual(verdicts.levelOf(new Float32Array(64)), { level: 0, clipped: false });
  assert.deepEqual(verdicts.levelOf(new Float32Array(64).fill(1)), { level: 1, clipped: true });
  const speech = verdicts.levelOf(new Float32Array(64).fill(0.1)).level;
  assert.ok(speech > 0.3 && speech < 0.7, String(speech));
  assert.equal(verdicts.levelOf(new Float32Array(0)).level, 0);
});

test('numerals: a real minus, none before zero, a dash for nothing', () => {
  assert.equal(verdicts.numeral(-3.2), '−3');
  assert.equal(verdicts.numeral(-0.2), '0');
  assert.equal(verdicts.numeral(undefined), '–');
  assert.equal(verdicts.numeral(1.25, 1), '1.3');
  assert.equal(verdicts.clockWords(605.9), '10:05');
});
