/**
 * The face alone, for window capture and for browser sources such as OBS's.
 *
 * `/stage?session=ID#token=TOKEN` shows that session; without `session` the newest one that is listed to the token.
 * `background=transparent` cuts out the avatar's green, `background=RRGGBB` puts a colour there, without either the
 * window is filled with the colour of the picture's edge; `muted` keeps quiet. A corner says while the session is
 * recorded; `notice=off` is for a picture that is captured and says so itself.
 */
import { Api } from '../shared/api.js';
import { drawCutOut } from '../shared/cut_out.js';
import { byId, contextOf, remembered, storageNamed } from '../shared/dom.js';
import { followNotices } from '../shared/notices.js';
import { Watching } from '../shared/watching.js';
import { authorization } from '../shared/whep.js';

const root = document.documentElement;
const options = new URLSearchParams(location.search);
const background = options.get('background');
const video = byId('face');

/** The token, kept for a reload, and taken out of the address: it must not be captured with the window. */
function takeToken() {
  const memory = remembered(storageNamed('sessionStorage'), 'stage');
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    memory.set(given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return given ?? memory.get() ?? '';
}

/** @param {string} token @returns {Promise<string | null>} where the session is watched; null if there is none */
async function whepToWatch(token) {
  const chosen = options.get('session');
  if (chosen) return `/api/sessions/${encodeURIComponent(chosen)}/whep`;
  const answer = await fetch('/api/sessions', { headers: authorization(token), cache: 'no-store' });
  /** @type {import('../types.js').ListedSession[]} */
  const sessions = answer.ok ? await answer.json() : [];
  return (sessions.findLast(({ state }) => state !== 'waiting') ?? sessions.at(-1))?.urls.whep ?? null;
}

/** Draw each picture without its green, over what the background shall be. @param {string} background */
function cut(background) {
  drawCutOut(video, byId('cut-out'));
  root.dataset.cut = '';
  if (/^[0-9a-f]{6}$/i.test(background)) root.style.background = `#${background}`;
}

/** Let the picture's edge go on to the window's, so that a green one is green all over. */
function extend() {
  const pixel = contextOf(Object.assign(document.createElement('canvas'), { width: 1, height: 1 }));
  video.requestVideoFrameCallback(() => {
    pixel.drawImage(video, 0, video.videoHeight / 2, 2, 2, 0, 0, 1, 1);
    root.style.background = `rgb(${pixel.getImageData(0, 0, 1, 1).data.slice(0, 3).join(' ')})`;
  });
}

/** @param {MediaStream} stream */
async function play(stream) {
  video.srcObject = stream;
  video.muted = options.has('muted');
  // Browsers play sound only after a gesture, browser sources always: play it silently where it is refused.
  await video.play().catch(() => { video.muted = true; return video.play(); }).catch(() => {});
}

function run() {
  const token = takeToken();
  const api = new Api();
  let whep = '';
  let unfollow = () => {};
  const watching = new Watching(async () => { whep = (await whepToWatch(token)) ?? ''; return whep; }, token);
  watching.addEventListener('stream', ({ detail }) => play(detail));
  watching.addEventListener('state', ({ detail: { state, message } }) => {
    root.dataset.state = state === 'live' ? 'live' : 'connecting';
    if (state === 'live') document.title = 'Lipstream: live';
    else if (message) document.title = `Lipstream: ${message}`;
    unfollow();
    unfollow = () => {};
    if (state !== 'live') return;
    if (!background) extend();
    const session = { token, urls: { self: whep.replace(/\/whep$/, '') } };
    if (options.get('notice') !== 'off') unfollow = followNotices(() => api.notices(session), ({ recorded }) => { byId('recorded').hidden = !recorded; });
  });
  window.onpagehide = () => watching.stop();
  window.onpageshow = ({ persisted }) => { if (persisted) watching.start(); };
  watching.start();
}

if (background) cut(background);
run();
