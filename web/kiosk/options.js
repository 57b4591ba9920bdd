/**
 * What a kiosk's address asks for. Pure.
 *
 * `fit` is the picture's on the screen; `background` is '#rrggbb', 'picture' for the server's own, or '' for the colours
 * of the picture's edge; `cut` takes the picture's green away.
 *
 * @typedef {{
 *   avatar: string | null, talk: 'open' | 'push' | 'off', mirror: boolean, captions: boolean,
 *   idleMs: number, invitations: string[], devices: 'browser' | 'server',
 *   fit: 'contain' | 'cover', background: string, cut: boolean,
 * }} KioskOptions
 */

const INVITATIONS = {
  open: ['Hello. Talk to me.', 'Ask me something.', 'Just start speaking: I am listening.'],
  push: ['Hello. Talk to me.', 'Hold the button and ask me something.'],
  off: ['Hello.'],
  mirror: ['Hello. Say something.', 'You speak, and I say it.'],
};
const IDLE_S = 20;
const NO = ['0', 'off', 'no', 'false'];
const COLOUR = /^[0-9a-f]{6}$/i;
const MOST_INVITATIONS = 20;

/**
 * @param {string} search of the address
 * @returns {KioskOptions} what makes no sense in it counts as not said
 */
export function kioskOptions(search) {
  const asked = new URLSearchParams(search);
  const devices = asked.get('devices') === 'server' ? 'server' : 'browser';
  const said = asked.get('talk');
  // The button mutes a browser's microphone; the server's own is open, and shut while the face speaks.
  const talk = said === 'off' || (said === 'push' && devices === 'browser') ? said : 'open';
  const isAsked = (/** @type {string} */ name) => asked.has(name) && !NO.includes(asked.get(name) ?? '');
  const mirror = isAsked('mirror');
  const background = asked.get('background') ?? '';
  const invitations = asked.getAll('invite').map((line) => line.trim()).filter(Boolean).slice(0, MOST_INVITATIONS);
  const idleS = Number(asked.get('idle') || IDLE_S);
  return {
    avatar: asked.get('avatar') || null,
    talk,
    mirror,
    captions: asked.get('captions') !== 'off',
    idleMs: 1000 * (idleS > 0 ? idleS : IDLE_S),
    invitations: invitations.length ? invitations : INVITATIONS[mirror && talk !== 'off' ? 'mirror' : talk],
    devices,
    fit: asked.get('fit') === 'cover' ? 'cover' : 'contain',
    background: COLOUR.test(background) ? `#${background.toLowerCase()}` : background === 'picture' ? 'picture' : '',
    cut: isAsked('cut'),
  };
}
