/** The button that is held to talk: by finger, by mouse, by the space bar. */

/**
 * @param {HTMLElement} button
 * @param {{press: () => void, release: () => void}} actions
 */
export function connectPushToTalk(button, { press, release }) {
  let held = false;
  const down = () => {
    if (held) return;
    held = true;
    button.setAttribute('aria-pressed', 'true');
    press();
  };
  const up = () => {
    if (!held) return;
    held = false;
    button.setAttribute('aria-pressed', 'false');
    release();
  };
  button.setAttribute('aria-pressed', 'false');
  button.addEventListener('pointerdown', (event) => { button.setPointerCapture(event.pointerId); down(); });
  for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(end, up);
  // A long touch is no request for a menu here.
  button.addEventListener('contextmenu', (event) => event.preventDefault());
  addEventListener('keydown', (event) => {
    if (event.code !== 'Space') return;
    event.preventDefault();
    if (!event.repeat) down();
  });
  addEventListener('keyup', (event) => { if (event.code === 'Space') up(); });
  addEventListener('blur', up);
}
