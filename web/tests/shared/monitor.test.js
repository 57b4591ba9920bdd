import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Monitor } from '../../shared/monitor.js';

test('what is being asked of a session is not waited for when its call ends', () => {
  /** @type {AbortSignal[]} */
  const asked = [];
  const figures = (/** @type {unknown} */ _, /** @type {AbortSignal} */ signal) => {
    asked.push(signal);
    return new Promise((__, refuse) => { signal.addEventListener('abort', () => refuse(signal.reason)); });
  };
  const call = { state: 'live', session: {}, peer: { connection: { getStats: () => new Promise(() => {}) } } };
  const monitor = new Monitor(/** @type {any} */ (call), /** @type {any} */ ({ figures }));
  for (const calls of [1, 2]) {
    monitor.start();
    assert.equal(asked.length, calls);
    assert.equal(asked[calls - 1].aborted, false);
    monitor.stop();
    assert.equal(asked[calls - 1].aborted, true);
  }
});
