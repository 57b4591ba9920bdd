/** The call page: connects its modules. */
import { Api, ApiError } from '../shared/api.js';
import { Call } from '../shared/call.js';
import { Dial } from './dial.js';
import { connectCheckup } from './checkup.js';
import { Controls, Hearing } from './controls.js';
import { Browser } from './doctor.js';
import { byId } from '../shared/dom.js';
import { wholeWayMs } from '../shared/figures.js';
import { Gallery } from './gallery.js';
import { Invitation } from '../shared/invitation.js';
import { Microphone } from '../shared/microphone.js';
import { Monitor } from '../shared/monitor.js';
import { Motions } from './motions.js';
import { clearFigures, showFigures } from './panel.js';
import { openPeer } from '../shared/peer.js';
import { Preparation } from './preparation.js';
import { ResumableSession } from '../shared/resume.js';
import { Setup } from './setup.js';
import { CallView } from './call_view.js';
import { Voice } from './voice.js';
import { VoiceLine } from './voice_line.js';
import { endingOf, reasonOf, wordsFor } from '../shared/words.js';

const METER_PERIOD_MS = 32;
const RECORDED_LINE = 'This call is being recorded.';
const STREAMED_LINE = 'This call is streamed live to others.';
const DRAINING_LINE = 'The server restarts soon; this call goes on until then.';
const LIST_RETRY_MS = 3000;
const root = document.documentElement;

const api = new Api();
const invitation = new Invitation(api);
const view = new CallView();
const line = new VoiceLine();
const hearing = new Hearing(view.video);
const gallery = new Gallery(api);
const resumable = new ResumableSession();

/** Why this page can make no call here, or ''. */
function obstacle() {
  if (!window.isSecureContext) return 'insecure';
  return navigator.mediaDevices && window.RTCPeerConnection ? '' : 'browser';
}

/** List the avatars; a server that is still starting gets asked again. */
async function loadGallery() {
  try {
    await gallery.load();
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) {
      gallery.explain('The avatars cannot be listed now. Trying again …');
      setTimeout(loadGallery, LIST_RETRY_MS);
      return;
    }
    gallery.explain(wordsFor('unauthorised').text);
    if (await invitation.ask()) await loadGallery();
  }
}

/** Keep the level and the voice line moving while the microphone is open. @param {Microphone} microphone @param {Setup} setup */
function connectMeter(microphone, setup) {
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  let running = false;
  let drawnAtMs = 0;
  /** @param {number} nowMs */
  const tick = (nowMs) => {
    running = microphone.track !== null;
    if (!running) return;
    requestAnimationFrame(tick);
    if (nowMs - drawnAtMs < METER_PERIOD_MS) return;
    drawnAtMs = nowMs;
    const heard = microphone.level();
    setup.show(heard, nowMs);
    line.push(nowMs / 1000, heard.level);
    if (!calm.matches) line.draw(nowMs / 1000);
  };
  microphone.addEventListener('track', () => {
    setup.opened(performance.now());
    if (!running) requestAnimationFrame(tick);
    running = true;
  });
}

/**
 * Show each new peer's picture, and in the frame around it whether the avatar speaks.
 *
 * @param {Call} call
 * @param {Motions} motions
 */
function connectPicture(call, motions) {
  /** @type {Record<string, string>} whether the avatar speaks after an event */
  const speaking = { speech_started: 'true', speech_ended: 'false', interrupted: 'false' };
  call.addEventListener('peer', ({ detail: peer }) => {
    view.play(peer.stream);
    peer.addEventListener('stream', () => view.play(peer.stream));
    peer.addEventListener('message', ({ detail }) => {
      const { type, message } = detail;
      motions.note(detail);
      if (Object.hasOwn(speaking, type)) root.dataset.speaking = speaking[type];
      if (type === 'draining') view.say(DRAINING_LINE);
      if (type === 'recording_started') view.say(RECORDED_LINE);
      if (type === 'stream_started') view.say(STREAMED_LINE);
      if (type === 'ending') {
        const { reason, seconds } = endingOf(detail);
        if (seconds > 0) view.say(`The time for this call is over in ${Math.round(seconds)} seconds.`);
        else call.fail(reason);
      }
      if (type === 'error' && typeof message === 'string') view.say(message);
    });
  });
}

/** @param {Monitor} monitor @param {Motions} motions */
function connectFigures(monitor, motions) {
  monitor.addEventListener('figures', ({ detail }) => {
    showFigures(detail);
    const { server, here } = detail;
    if (!server) return;
    motions.list(server.motions ?? []);
    root.dataset.speaking = String(Boolean(server.speaking));
    const delayMs = wholeWayMs(server.mouth_latency_ms?.p50, here);
    if (delayMs !== null) line.measure(delayMs);
    if (server.recorded) view.say(RECORDED_LINE);
    if (server.streams?.live) view.say(STREAMED_LINE);
    if (server.state === 'draining') view.say(DRAINING_LINE);
  });
}

/** @param {Microphone} microphone */
function begin(microphone) {
  const voice = new Voice(microphone);
  const call = new Call({ api, microphone: voice, openPeer, left: resumable.take() });
  const monitor = new Monitor(call, api);
  const setup = new Setup(microphone, (error) => view.say(`${wordsFor(reasonOf(error)).title}.`));
  const start = () => call.start(gallery.chosen);
  const controls = new Controls({ call, api, view, microphone, voice, hearing, start });
  const dials = [
    new Dial({ name: 'articulation', call, api, view }),
    new Dial({ name: 'liveliness', call, api, view, isFor: ({ motions = [] }) => motions.length > 0 }),
  ];
  const motions = new Motions({ call, api, view });
  const preparation = new Preparation(api, (said) => view.say(said));
  connectMeter(microphone, setup);
  connectPicture(call, motions);
  connectFigures(monitor, motions);

  call.addEventListener('state', ({ detail }) => {
    const over = detail.state === 'idle' || (detail.state === 'failed' && !detail.retryInMs);
    view.show(detail);
    controls.show(detail);
    for (const dial of dials) dial.show(detail);
    motions.show(detail);
    if (detail.state === 'connecting') preparation.watch(gallery.chosen);
    else preparation.stop();
    if (detail.state === 'live') monitor.start();
    else monitor.stop();
    if (detail.state !== 'live') delete root.dataset.speaking;
    // Speech during an outage does not reach the avatar, so there is no delay to show.
    if (detail.state === 'reconnecting') line.measure(null);
    if (!over) return;
    view.play(null);
    setup.closed();
    line.clear();
    clearFigures();
  });
  view.addEventListener('action', async () => {
    if (['unauthorised', 'revoked'].includes(root.dataset.reason ?? '') && !(await invitation.ask())) return;
    // With a countdown the call is only waiting; without one it has ended.
    if (view.waiting) call.hurry();
    else start();
  });
  microphone.addEventListener('track', ({ detail: track }) => call.peer?.replaceTrack(track));
  gallery.addEventListener('choice', ({ detail: avatar }) => {
    call.choose(avatar);
    view.poster(gallery.poster);
    if (!call.session) return;
    preparation.watch(avatar);
    api.switchAvatar(call.session, avatar)
      .then(() => view.sayState())
      .catch(() => view.say('The new face comes with the next start.'))
      .finally(() => preparation.stop());
  });
  window.addEventListener('online', () => call.hurry());
  // A refreshed page resumes its session.
  window.addEventListener('pagehide', () => resumable.leave(call.leave()));
  setup.list();
}

invitation.take();
window.addEventListener('hashchange', () => { invitation.take(); loadGallery(); });
connectCheckup({ browser: new Browser(), api, openPeer, busy: () => !['idle', 'failed'].includes(root.dataset.state ?? 'idle') });
gallery.addEventListener('pictures', () => view.poster(gallery.poster));
clearFigures();
line.clear();
loadGallery();
const reason = obstacle();
if (reason) {
  view.show({ state: 'failed', reason });
  byId('start').disabled = true;
} else {
  begin(new Microphone(navigator.mediaDevices));
}
