/** Feeds the watchdog from the page, and reloads the page on its verdict. */
import { remembered, storageNamed } from '../shared/dom.js';
import { Watchdog } from './watchdog.js';

const PERIOD_MS = 1000;
const ANSWER_MS = 5000;

/**
 * Reload the page when it cannot recover by itself. It does not reload while the server is away: the browser's error
 * page would stay.
 *
 * @param {{video: HTMLVideoElement, isLive: () => boolean, isIdle: () => boolean}} page
 */
export function watch({ video, isLive, isIdle }) {
  const memory = remembered(storageNamed('sessionStorage'), 'reloads');
  /** @type {unknown} */
  const known = JSON.parse(memory.get() || '[]');
  const watchdog = new Watchdog(Date.now(), Array.isArray(known) ? known : []);
  let asking = false;
  addEventListener('error', () => watchdog.fault(Date.now()));
  addEventListener('unhandledrejection', () => watchdog.fault(Date.now()));
  setInterval(async () => {
    const nowMs = Date.now();
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    watchdog.note({ live: isLive(), frames, visible: document.visibilityState === 'visible' }, nowMs);
    const why = watchdog.verdict(nowMs, { idle: isIdle() });
    if (!why || asking) return;
    asking = true;
    const answer = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    asking = false;
    if (!answer) return;
    console.warn(`the page reloads: ${why}`);
    memory.set(JSON.stringify(watchdog.reloading(nowMs)));
    location.reload();
  }, PERIOD_MS);
}
