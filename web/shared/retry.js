/** When to try again, and with what. Pure. */
import { ApiError } from './api.js';

const FIRST_WAIT_MS = 500;
/** While the server still keeps the session, being back soon matters more than sparing a request. */
const SOON_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 5000;
/** As many attempts as fit into the 60 s that a session waits for its owner, after the 10 s that it takes to miss him. */
const SOON_ATTEMPTS = 70;

/**
 * @param {number} attempt from 1
 * @param {number} [chance] 0..1; spreads the pages that a restarted server has lost all at once
 * @returns {number} milliseconds to wait before it
 */
export function backoffMs(attempt, chance = Math.random()) {
  const longest = attempt <= SOON_ATTEMPTS ? SOON_WAIT_MS : LONGEST_WAIT_MS;
  return Math.min(longest, FIRST_WAIT_MS * 2 ** (attempt - 1)) * (1 - 0.2 * chance);
}

/**
 * Whether the session itself is gone: ended, forgotten after 60 s, or of a server since restarted.
 *
 * @param {unknown} error
 */
export function sessionIsGone(error) {
  return error instanceof ApiError && [401, 403, 404].includes(error.status);
}

/**
 * @param {unknown} error
 * @returns {number} milliseconds that the server asked to be left alone; 0 if it did not
 */
export function askedToWaitMs(error) {
  if (!(error instanceof ApiError) || ![429, 503].includes(error.status)) return 0;
  return 1000 * Math.max(1, error.retryAfterS ?? 5);
}
