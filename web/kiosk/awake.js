/** Keeps the screen on and the page as large as the screen. */

/** Hold the screen's lock for as long as the page is seen; browsers take it back whenever it is not. */
export function keepAwake() {
  const hold = () => {
    if (document.visibilityState !== 'visible') return;
    navigator.wakeLock?.request('screen').then((lock) => {
      document.documentElement.dataset.awake = 'true';
      lock.addEventListener('release', () => { delete document.documentElement.dataset.awake; });
    }, () => {});
  };
  document.addEventListener('visibilitychange', hold);
  // A lock can be lost while the page is seen, to a low battery for one.
  setInterval(() => { if (!document.documentElement.dataset.awake) hold(); }, 30_000);
  hold();
}

/** Fill the screen from the first touch on: browsers allow it to no page that was not touched. */
export function fillScreen() {
  addEventListener('pointerup', () => {
    if (document.fullscreenElement || matchMedia('(display-mode: fullscreen)').matches) return;
    document.documentElement.requestFullscreen?.({ navigationUI: 'hide' }).catch(() => {});
  });
}

/** Hide the pointer while it does not move. */
export function hidePointer() {
  let timer = 0;
  const still = () => { document.documentElement.dataset.pointer = 'still'; };
  addEventListener('pointermove', () => {
    delete document.documentElement.dataset.pointer;
    clearTimeout(timer);
    timer = setTimeout(still, 3000);
  });
  still();
}
