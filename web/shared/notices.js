/** What those who see a session must be told: whether it is recorded, or streamed to others. */

const PERIOD_MS = 2000;

/**
 * @typedef {import('../types.js').Notices} Notices
 *
 * @param {() => Promise<Notices>} ask a failure keeps what was told before
 * @param {(notices: Notices) => void} tell
 * @returns {() => void} ends it
 */
export function followNotices(ask, tell) {
  let isOver = false;
  const look = () => ask().then((notices) => { if (!isOver) tell(notices); }).catch(() => {});
  const timer = setInterval(look, PERIOD_MS);
  look();
  return () => {
    isOver = true;
    clearInterval(timer);
    tell({ recorded: false, streamed: false });
  };
}
