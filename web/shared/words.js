/**
 * What the page says when something does not work, in words for a person who never heard of ICE.
 *
 * @typedef {{title: string, text: string, action?: string}} Words
 */

/** @type {Record<string, Words>} */
const WORDS = {
  'microphone-refused': {
    title: 'The microphone is not allowed',
    text: 'Without your voice the face has nothing to say. Allow the microphone with the icon beside the address, then try again.',
    action: 'Try again',
  },
  'microphone-missing': {
    title: 'No microphone found',
    text: 'Plug one in or switch it on, then try again.',
    action: 'Try again',
  },
  'microphone-busy': {
    title: 'The microphone is taken',
    text: 'Another program holds it, or the system keeps it closed. Close the other call or choose another microphone.',
    action: 'Try again',
  },
  insecure: {
    title: 'This address is not secure',
    text: 'Browsers open a microphone only over https, or on this very machine as http://localhost. Ask the server’s operator for its https address.',
  },
  browser: {
    title: 'This browser cannot make the call',
    text: 'It lacks WebRTC. A current Chrome, Edge, Firefox or Safari has it.',
  },
  blocked: {
    title: 'Sound and picture cannot get through',
    text: 'The server answers, but the network lets no media pass: a firewall or VPN, most likely. Try another network, or ask the operator for a TURN relay.',
    action: 'Try again',
  },
  full: {
    title: 'Every seat is taken',
    text: 'The server has as many calls as it can carry. Yours starts by itself when one is free.',
    action: 'Try now',
  },
  warming: {
    title: 'The server is warming up',
    text: 'It is loading the avatar’s model. The call starts by itself.',
    action: 'Try now',
  },
  draining: {
    title: 'The server is about to restart',
    text: 'It takes no new calls until then. Yours starts by itself afterwards.',
    action: 'Try now',
  },
  renderer: {
    title: 'The avatar’s renderer is restarting',
    text: 'This takes a few seconds. The call starts by itself.',
    action: 'Try now',
  },
  invitation_in_use: {
    title: 'This invitation is in use',
    text: 'It is for as many calls at once as are running now. Yours starts by itself when one ends.',
    action: 'Try now',
  },
  longest_call: {
    title: 'The time for this call is over',
    text: 'The operator lets a call last this long. You can start a new one.',
    action: 'Call again',
  },
  idle: {
    title: 'The call was ended',
    text: 'Nobody spoke for a long time. You can start a new one.',
    action: 'Call again',
  },
  revoked: {
    title: 'The invitation was taken back',
    text: 'The operator has ended this call. A new one needs a new invitation.',
    action: 'Enter an invitation',
  },
  unavailable: {
    title: 'The server is busy',
    text: 'It asks to be tried again in a moment. The call starts by itself.',
    action: 'Try now',
  },
  unreachable: {
    title: 'The server does not answer',
    text: 'It may be off, or this device may be offline.',
    action: 'Try again',
  },
  unauthorised: {
    title: 'An invitation is needed',
    text: 'This server takes calls by invitation, and there is none yet or it has run out.',
    action: 'Enter an invitation',
  },
  lost: {
    title: 'Connection lost',
    text: 'Coming back to your call.',
    action: 'Try now',
  },
  'session-gone': {
    title: 'Connection lost',
    text: 'The server no longer knows this call, so a new one is starting.',
    action: 'Try now',
  },
  refused: {
    title: 'The server refused the call',
    text: '',
    action: 'Try again',
  },
  failed: {
    title: 'Something went wrong here',
    text: '',
    action: 'Try again',
  },
};

/** @type {Record<string, string>} */
const MICROPHONE_REASONS = {
  NotAllowedError: 'microphone-refused',
  SecurityError: 'microphone-refused',
  NotFoundError: 'microphone-missing',
  OverconstrainedError: 'microphone-missing',
  NotReadableError: 'microphone-busy',
  AbortError: 'microphone-busy',
};

/**
 * Name the reason behind an error by its class name and status, so that this file imports nothing.
 *
 * @param {any} error
 * @returns {string} a key for `wordsFor`
 */
export function reasonOf(error) {
  if (error.name === 'ApiError') {
    if (error.status === 401) return 'unauthorised';
    if (error.status === 429) return 'unavailable';
    if (error.status !== 503) return 'refused';
    return Object.hasOwn(WORDS, error.reason ?? '') ? error.reason : 'unavailable';
  }
  if (error.name === 'UnreachableError') return 'unreachable';
  if (error.name === 'BlockedError') return 'blocked';
  if (error.name === 'InsecureError') return 'insecure';
  if (error.name === 'MicrophoneError') return MICROPHONE_REASONS[error.cause?.name] ?? 'microphone-busy';
  return 'failed';
}

/**
 * Read the server's event that a limit ends the call.
 *
 * @param {import('../types.js').ControlMessage} message of type `ending`
 * @returns {{reason: string, seconds: number}} `reason`: a key for `wordsFor`; `seconds`: until the end, 0 at the end
 */
export function endingOf({ reason, seconds }) {
  const known = ['longest_call', 'idle', 'revoked'].find((name) => name === reason);
  return { reason: known ?? 'longest_call', seconds: typeof seconds === 'number' ? seconds : 0 };
}

/** @param {unknown} error @returns {string} the error's own sentence */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} reason
 * @param {string} [message] the server's or browser's own sentence, where ours has nothing to add
 * @returns {Words}
 */
export function wordsFor(reason, message = '') {
  const words = WORDS[reason] ?? WORDS.failed;
  return words.text ? words : { ...words, text: message };
}

/**
 * Say what a reconnecting page is doing.
 *
 * @param {string} reason why the last attempt did not work
 * @param {number} attempt from 1
 * @returns {Words}
 */
export function reconnectingWords(reason, attempt) {
  if (attempt === 1 || reason === 'session-gone') return wordsFor(attempt === 1 ? 'lost' : reason);
  const cause = reason === 'lost' ? '' : `${wordsFor(reason).title}. `;
  return { title: 'Connection lost', text: `${cause}Attempt ${attempt}; it goes on until you stop.`, action: 'Try now' };
}
