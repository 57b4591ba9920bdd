/**
 * The face alone, for window capture and for browser sources such as OBS's.
 *
 * `/stage?session=ID#token=TOKEN` shows that session; without `session` the newest one that is listed to the token.
 * `background=transparent` cuts out the avatar's green, `background=RRGGBB` puts a colour there, without either the
 * window is filled with the colour of the picture's edge; `muted` keeps quiet. A corner says while the session is
 * recorded; `notice=off` is for a picture that is captured and says so itself.
 */
import { byId, contextOf, remembered, storageNamed } from '../shared/dom.js';
import { messageOf } from '../shared/words.js';
import { cutOut } from './keyer.js';
import { backoffMs } from '../shared/retry.js';
import { authorization, watch } from './whep.js';

const NOTICE_MS = 2000;
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
  const canvas = byId('cut-out');
  const brush = contextOf(canvas, { willReadFrequently: true });
  const draw = () => {
    const { videoWidth: width, videoHeight: height } = video;
    if (width && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
    if (width) {
      brush.drawImage(video, 0, 0);
      const picture = brush.getImageData(0, 0, width, height);
      cutOut(picture.data);
      brush.putImageData(picture, 0, 0);
    }
    video.requestVideoFrameCallback(draw);
  };
  video.requestVideoFrameCallback(draw);
  canvas.hidden = false;
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

/**
 * Say while a session is recorded, until the returned function is called.
 *
 * @param {string} whep where it is watched @param {string} token
 */
function tellRecording(whep, token) {
  const notices = `${whep.replace(/\/whep$/, '')}/notices`;
  const ask = async () => {
    const answer = await fetch(notices, { headers: authorization(token), cache: 'no-store' }).catch(() => null);
    if (!answer?.ok) return;
    /** @type {import('../types.js').Notices} */
    const { recorded } = await answer.json();
    byId('recorded').hidden = !recorded;
  };
  const timer = options.get('notice') === 'off' ? 0 : setInterval(ask, NOTICE_MS);
  if (timer) ask();
  return () => { clearInterval(timer); byId('recorded').hidden = true; };
}

async function run() {
  const token = takeToken();
  for (let attempt = 1; ; attempt += 1) {
    try {
      const whep = await whepToWatch(token);
      if (whep) {
        const viewer = await watch(whep, token);
        window.onpagehide = viewer.close;
        await play(viewer.stream);
        root.dataset.state = 'live';
        if (!background) extend();
        document.title = 'Lipstream: live';
        attempt = 1;
        const toldEnough = tellRecording(whep, token);
        await viewer.lost;
        toldEnough();
        viewer.close();
      }
    } catch (error) {
      document.title = `Lipstream: ${messageOf(error)}`;
    }
    root.dataset.state = 'connecting';
    await new Promise((done) => { setTimeout(done, backoffMs(attempt)); });
  }
}

if (background) cut(background);
run();
