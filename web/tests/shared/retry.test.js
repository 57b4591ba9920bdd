import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../shared/api.js';
import { askedToWaitMs, backoffMs } from '../../shared/retry.js';

test('waits grow from half a second and stay short while the session lives', () => {
  assert.equal(backoffMs(1, 0), 500);
  assert.equal(backoffMs(2, 0), 1000);
  assert.equal(backoffMs(10, 0), 1000);
  assert.equal(backoffMs(99, 0), 5000);
  assert.equal(backoffMs(1, 1), 400);
});

test('a server that is full or asked too often is left alone for as long as it says', () => {
  assert.equal(askedToWaitMs(new ApiError(503, {}, 7)), 7000);
  assert.equal(askedToWaitMs(new ApiError(429, {}, 2)), 2000);
  assert.equal(askedToWaitMs(new ApiError(429, {}, null)), 5000);
  assert.equal(askedToWaitMs(new ApiError(403, {}, 7)), 0);
});
