import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OLD_MS, STILL_MS, STRANDED_MS, Watchdog } from '../../kiosk/watchdog.js';

const healthy = { live: true, visible: true };

test('the watchdog leaves a page that works alone', () => {
  const watchdog = new Watchdog(0);
  for (let second = 0; second < 7200; second += 1) {
    watchdog.note({ ...healthy, frames: 25 * second }, 1000 * second);
    assert.equal(watchdog.verdict(1000 * second, { idle: true }), '');
  }
});

test('it reloads what is stranded, still, faulty, or old and idle', () => {
  const stranded = new Watchdog(0);
  stranded.note({ ...healthy, live: false, frames: 0 }, STRANDED_MS - 1);
  assert.equal(stranded.verdict(STRANDED_MS - 1, { idle: false }), '');
  assert.equal(stranded.verdict(STRANDED_MS, { idle: false }), 'stranded');

  const still = new Watchdog(0);
  still.note({ ...healthy, frames: 7 }, 1000);
  still.note({ ...healthy, frames: 7 }, 1000 + STILL_MS);
  assert.equal(still.verdict(1000 + STILL_MS, { idle: false }), 'still');
  const hidden = new Watchdog(0);
  hidden.note({ ...healthy, visible: false, frames: 7 }, 1000 + STILL_MS);
  assert.equal(hidden.verdict(1000 + STILL_MS, { idle: false }), '');

  const faulty = new Watchdog(0);
  for (const atMs of [0, 40_000, 90_000]) faulty.fault(atMs);
  assert.equal(faulty.verdict(90_000, { idle: false }) === 'faults', false, 'three in a minute, not in an hour');
  for (const atMs of [90_001, 90_002]) faulty.fault(atMs);
  assert.equal(faulty.verdict(90_003, { idle: false }), 'faults');

  const old = new Watchdog(0);
  old.note({ ...healthy, frames: 1 }, OLD_MS);
  assert.equal(old.verdict(OLD_MS, { idle: false }), '');
  assert.equal(old.verdict(OLD_MS, { idle: true }), 'old');
});

test('reloads that do not help come ever more seldom, until an hour has passed', () => {
  let nowMs = 0;
  /** @type {number[]} */
  let reloads = [];
  const waits = [];
  for (let count = 0; count < 8; count += 1) {
    const watchdog = new Watchdog(nowMs, reloads);
    const bornMs = nowMs;
    for (let fault = 0; fault < 3; fault += 1) watchdog.fault(nowMs);
    while (!watchdog.verdict(nowMs, { idle: false })) nowMs += 1000;
    waits.push((nowMs - bornMs) / 1000);
    reloads = watchdog.reloading(nowMs);
  }
  assert.deepEqual(waits, [0, 60, 120, 240, 480, 960, 960, 960]);
  const trusted = new Watchdog(nowMs + 3600_000, reloads);
  for (let fault = 0; fault < 3; fault += 1) trusted.fault(nowMs + 3600_000);
  assert.equal(trusted.verdict(nowMs + 3600_001, { idle: false }), 'faults');
});
