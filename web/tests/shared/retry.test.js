import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from '../../shared/retry.js';

test('waits grow from half a second and stay short while the session lives', () => {
  assert.equal(backoffMs(1, 0), 500);
  assert.equal(backoffMs(2, 0), 1000);
  assert.equal(backoffMs(10, 0), 1000);
  assert.equal(backoffMs(99, 0), 5000);
  assert.equal(backoffMs(1, 1), 400);
});
