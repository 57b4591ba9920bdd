/**
 * Checks, step by step, what would make a call fail. It does not touch the page.
 *
 * @typedef {{step: string, state: 'good' | 'bad', says: string, advice?: string}} Finding
 * @typedef {(options: import('../shared/peer.js').PeerOptions) => Promise<{close(): void}>} OpenPeer
 */
import { messageOf, reasonOf, wordsFor } from '../shared/words.js';

const RELAY_MS = 5000;
const REFUSED = 401;

/** @param {string} step @param {string} says @returns {Finding} */
const good = (step, says) => ({ step, state: 'good', says });
/** @param {string} step @param {string} says @param {string} advice @returns {Finding} */
const bad = (step, says, advice) => ({ step, state: 'bad', says, advice });
/** @param {string} step @param {unknown} error @returns {Finding} */
function failed(step, error) {
  const words = wordsFor(reasonOf(error), messageOf(error));
  return bad(step, `${words.title}.`, words.text);
}

/** What this browser is and may do. */
export class Browser {
  get secure() {
    return window.isSecureContext;
  }

  /** @returns {Promise<string>} `granted`, `prompt`, `denied`, or `missing` without a microphone */
  async microphone() {
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    if (!devices.some(({ kind }) => kind === 'audioinput')) return 'missing';
    const asked = await navigator.permissions.query({ name: /** @type {PermissionName} */ ('microphone') }).catch(() => null);
    return asked?.state ?? 'prompt';
  }

  /** @param {'audio' | 'video'} kind @returns {string[]} MIME types, in small letters */
  codecs(kind) {
    return (window.RTCRtpReceiver?.getCapabilities(kind)?.codecs ?? []).map(({ mimeType }) => mimeType.toLowerCase());
  }

  /** @returns {{track: MediaStreamTrack, close(): void}} a silent track, which needs no permission */
  silence() {
    const context = new AudioContext();
    const track = context.createMediaStreamDestination().stream.getAudioTracks()[0];
    return { track, close: () => { track.stop(); context.close(); } };
  }

  /**
   * Try to reserve a relay.
   *
   * @param {RTCIceServer} server
   * @returns {Promise<number>} 0: reserved; else an error code like HTTP's, 701 without an answer
   */
  relay(server) {
    const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
    connection.createDataChannel('probe');
    let code = 701;
    return new Promise((resolve) => {
      const settle = (/** @type {number} */ result) => { connection.close(); resolve(result); };
      connection.onicecandidate = ({ candidate }) => { if (candidate?.candidate) settle(0); };
      connection.onicecandidateerror = ({ errorCode }) => { if (errorCode !== 701) code = errorCode; };
      connection.onicegatheringstatechange = () => { if (connection.iceGatheringState === 'complete') settle(code); };
      setTimeout(() => settle(code), RELAY_MS);
      connection.setLocalDescription();
    });
  }
}

/** @param {Browser} browser @returns {Promise<Finding>} */
async function microphone(browser) {
  const step = 'Microphone';
  if (!browser.secure) return failed(step, { name: 'InsecureError' });
  const state = await browser.microphone();
  if (state === 'missing') return failed(step, { name: 'MicrophoneError', cause: { name: 'NotFoundError' } });
  if (state === 'denied') return failed(step, { name: 'MicrophoneError', cause: { name: 'NotAllowedError' } });
  return good(step, state === 'granted' ? 'This page may open it.' : 'This page will ask for it when you start.');
}

/** @param {Browser} browser @returns {Finding} */
function codecs(browser) {
  const step = 'Sound and picture formats';
  const video = browser.codecs('video');
  const plays = browser.codecs('audio').includes('audio/opus') && (video.includes('video/vp8') || video.includes('video/h264'));
  return plays ? good(step, 'This browser plays them.')
    : bad(step, 'This browser lacks Opus, or both VP8 and H.264.', 'A current Chrome, Edge, Firefox or Safari has them.');
}

/** @param {RTCIceServer} server */
const isRelay = ({ urls }) => [urls].flat().some((url) => /^turns?:/.test(url));

/**
 * @param {{
 *   browser: Browser, api: import('../shared/api.js').Api,
 *   openPeer: OpenPeer,
 * }} parts
 * @returns {AsyncGenerator<Finding>} until a fault rules out the steps after it
 */
export async function* examine({ browser, api, openPeer }) {
  yield await microphone(browser);
  const formats = codecs(browser);
  yield formats;
  if (formats.state === 'bad') return;
  let session;
  try {
    session = await api.createSession(null);
  } catch (error) {
    yield failed('Server', error);
    return;
  }
  yield good('Server', 'It answers, and has a place for a call.');
  const silence = browser.silence();
  try {
    yield await media(session, silence.track, api, openPeer);
    for (const server of session.ice_servers.filter(isRelay)) yield await relay(browser, server);
  } finally {
    silence.close();
    await api.end(session);
  }
}

/**
 * @param {import('../types.js').Session} session
 * @param {MediaStreamTrack} track
 * @param {import('../shared/api.js').Api} api
 * @param {OpenPeer} openPeer
 * @returns {Promise<Finding>}
 */
async function media(session, track, api, openPeer) {
  const step = session.ice_transport_policy === 'relay' ? 'Sound and picture through the relay' : 'Sound and picture (UDP)';
  try {
    const peer = await openPeer({
      configuration: { iceServers: session.ice_servers, iceTransportPolicy: session.ice_transport_policy },
      track,
      exchange: (offer) => api.exchange(session, offer),
      onLost: () => {},
      signal: new AbortController().signal,
    });
    peer.close();
    return good(step, 'They get through.');
  } catch (error) {
    return failed(step, error);
  }
}

/** @param {Browser} browser @param {RTCIceServer} server @returns {Promise<Finding>} */
async function relay(browser, server) {
  const step = 'Relay (TURN)';
  const code = await browser.relay(server);
  if (code === 0) return good(step, 'It can be used where UDP is blocked.');
  if (code === REFUSED) return bad(step, 'It refuses the server’s credentials.', 'Tell the operator: the TURN secret or a clock is wrong.');
  return bad(step, `It does not answer (${code}).`, 'A firewall may block it; another network may help.');
}
