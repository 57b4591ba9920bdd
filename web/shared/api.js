/**
 * The server's HTTP routes, and what their failures mean.
 *
 * @typedef {import('../types.js').AvatarEntry} AvatarEntry
 * @typedef {import('../types.js').Session} Session
 */

const PROBE_MS = 1500;
/** The server waits 15 s for a face that is shown for the first time, and then says to come again. */
const FIRST_SHOWN_MS = 30_000;

/** The server answered, and the answer is no. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {import('../types.js').ErrorBody} error
   * @param {number | null} retryAfterS
   */
  constructor(status, error, retryAfterS) {
    super(error.message ?? `The server answered with status ${status}.`);
    this.name = 'ApiError';
    this.status = status;
    this.code = error.code ?? 'unknown';
    this.reason = error.reason ?? null;
    this.retryAfterS = retryAfterS;
  }
}

/** No answer came: the server is gone, or the network is. */
export class UnreachableError extends Error {
  constructor() {
    super('The server does not answer.');
    this.name = 'UnreachableError';
  }
}

/**
 * Return the token in what a person was given: a link, its fragment, or the bare token.
 *
 * @param {string} text
 * @returns {string} '' if there is none
 */
export function joinTokenFrom(text) {
  const fragment = text.includes('#') ? text.slice(text.indexOf('#') + 1) : '';
  const named = new URLSearchParams(fragment).get('join');
  return (named ?? (fragment ? '' : text)).trim();
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function refusal(response) {
  const body = await response.json().catch(() => null);
  const header = response.headers.get('Retry-After');
  const seconds = header === null ? NaN : Number(header);
  return new ApiError(response.status, body?.error ?? {}, Number.isFinite(seconds) ? seconds : null);
}

/** @param {ReadableStream<Uint8Array<ArrayBuffer>>} body @returns {AsyncGenerator<string>} its text, piece by piece */
async function* readable(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
}

export class Api {
  /** The join token; '' while none is known. It opens the list of avatars and new sessions. */
  joinToken = '';
  /** Whether new sessions listen to their microphone instead of speaking it. */
  conversation = false;
  /** Whether new sessions use the microphone and the loudspeaker of the server's machine. */
  localAudio = false;

  /** @param {{server?: string, fetch?: typeof fetch, timeoutMs?: number}} [options] `server`: its address; '' is the page's own */
  constructor({ server = '', fetch: fetcher, timeoutMs = 8000 } = {}) {
    this.server = server.replace(/\/+$/, '');
    this.fetch = fetcher ?? ((...request) => globalThis.fetch(...request));
    this.timeoutMs = timeoutMs;
  }

  /**
   * @param {string} path
   * @param {{
   *   method?: string, token?: string, body?: object | FormData, signal?: AbortSignal, cache?: RequestCache, keepalive?: boolean,
   * }} [request] a form may take as long as it needs, and so may a request with a signal
   * @returns {Promise<Response>}
   * @throws {ApiError | UnreachableError}
   */
  async request(path, { method = 'GET', token = '', body, signal, cache = 'no-store', keepalive = false } = {}) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    const form = body instanceof FormData;
    if (body && !form) headers['Content-Type'] = 'application/json';
    let response;
    try {
      response = await this.fetch(this.server + path, {
        method, headers, cache, keepalive,
        body: form ? body : body && JSON.stringify(body),
        // A hung server must look like a lost one, or reconnecting would hang with it.
        signal: signal ?? (form ? undefined : AbortSignal.timeout(this.timeoutMs)),
      });
    } catch {
      throw new UnreachableError();
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** @returns {Promise<AvatarEntry[]>} */
  async avatars() {
    return (await this.request('/api/avatars', { token: this.joinToken })).json();
  }

  /**
   * A blob, since an <img> cannot send the token along.
   *
   * @param {string} id
   * @returns {Promise<Blob>}
   */
  async preview(id) {
    const url = `/api/avatars/${encodeURIComponent(id)}/preview`;
    // The browser keeps the picture, and asks each time whether it is still the same.
    return (await this.request(url, { token: this.joinToken, cache: 'no-cache' })).blob();
  }

  /**
   * Send a portrait or clip to be made an avatar.
   *
   * @param {Blob} file
   * @param {string} name
   * @param {string} consent whose face it is, and how they agreed
   * @param {{rest?: string, eyesShut?: Blob}} [looks] the mouth at rest, `keep` or `closed`; a photograph with shut eyes
   * @returns {Promise<string>} the id that it will have
   */
  async addAvatar(file, name, consent, { rest, eyesShut } = {}) {
    const body = new FormData();
    body.append('name', name);
    body.append('consent', consent);
    if (rest) body.append('rest', rest);
    body.append('file', file, 'upload');
    if (eyesShut) body.append('eyes_shut', eyesShut, 'eyes-shut');
    return (await (await this.request('/api/avatars', { method: 'POST', token: this.joinToken, body })).json()).id;
  }

  /** Send a clip to be added to an avatar. @param {string} id @param {string} name of the clip @param {Blob} file */
  async addMotion(id, name, file) {
    const body = new FormData();
    body.append('name', name);
    body.append('file', file, 'motion');
    await this.request(`/api/avatars/${encodeURIComponent(id)}/motions`, { method: 'POST', token: this.joinToken, body });
  }

  /**
   * What would make an avatar look better, by the report of its build: what is poor alone.
   *
   * @param {string} id
   * @returns {Promise<string[]>}
   */
  async adviceOn(id) {
    const url = `/api/avatars/${encodeURIComponent(id)}`;
    return adviceIn((await (await this.request(url, { token: this.joinToken })).json()).report);
  }

  /**
   * Follow an avatar that is being made, until it is ready or has failed.
   *
   * @param {string} id
   * @param {(build: import('../types.js').AvatarBuild) => void} onChange
   * @param {AbortSignal} signal
   */
  async followAvatar(id, onChange, signal) {
    const url = `/api/avatars/${encodeURIComponent(id)}/events`;
    const { body } = await this.request(url, { token: this.joinToken, signal });
    if (!body) throw new UnreachableError();
    let text = '';
    for await (const piece of readable(body)) {
      text += piece;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('data: ')) onChange(JSON.parse(line.slice(6)));
    }
  }

  /** @param {string} id */
  async removeAvatar(id) {
    await this.request(`/api/avatars/${encodeURIComponent(id)}`, { method: 'DELETE', token: this.joinToken });
  }

  /**
   * @param {string | null} avatar null leaves the choice to the server
   * @param {Session | null} [former] one that was lost with its worker: those who watch it are sent to the new one
   * @returns {Promise<Session>}
   */
  async createSession(avatar, former = null) {
    const continues = former && { id: former.id, token: former.token };
    const body = { ...(avatar && { avatar }), ...(continues && { continues }), ...(this.conversation && { conversation: true }), ...(this.localAudio && { local_audio: true }) };
    const signal = AbortSignal.timeout(FIRST_SHOWN_MS);
    return (await this.request('/api/sessions', { method: 'POST', token: this.joinToken, body, signal })).json();
  }

  /**
   * Ask how to reach a session now: TURN credentials run out. It is also the quickest way to see whether a lost
   * server is back, so it gives up soon: a request sent into an outage would hang long after the end of it.
   *
   * @param {Session} session
   * @returns {Promise<import('../types.js').Connectivity>}
   */
  async connectivity({ urls, token }) {
    return (await this.request(`${urls.self}/connectivity`, { token, signal: AbortSignal.timeout(PROBE_MS) })).json();
  }

  /**
   * @param {Session} session
   * @param {RTCSessionDescriptionInit} offer
   * @returns {Promise<RTCSessionDescriptionInit>}
   */
  async exchange({ urls, token }, offer) {
    const body = { sdp: offer.sdp, type: offer.type };
    return (await (await this.request(urls.peer, { method: 'POST', token, body })).json()).answer;
  }

  /** @param {Session} session @param {AbortSignal} signal @returns {Promise<import('../types.js').SessionFigures>} */
  async figures({ urls, token }, signal) {
    return (await this.request(urls.self, { token, signal })).json();
  }

  /** @param {Pick<Session, 'token'> & {urls: {self: string}}} session @returns {Promise<import('../types.js').Notices>} */
  async notices({ urls, token }) {
    return (await this.request(`${urls.self}/notices`, { token })).json();
  }

  /** @param {Session} session */
  async interrupt({ urls, token }) {
    await this.request(`${urls.self}/interrupt`, { method: 'POST', token });
  }

  /** @param {Session} session @param {string} text @param {AbortSignal} signal an engine may take longer than an answer */
  async say({ urls, token }, text, signal) {
    await this.request(`${urls.self}/say`, { method: 'POST', token, body: { text }, signal });
  }

  /** @param {Session} session @param {string} name of a motion of the avatar that is shown */
  async motion({ urls, token }, name) {
    await this.request(`${urls.self}/motion`, { method: 'POST', token, body: { name } });
  }

  /** @param {Session} session @param {string} avatar */
  async switchAvatar({ urls, token }, avatar) {
    await this.request(urls.self, { method: 'PATCH', token, body: { avatar }, signal: AbortSignal.timeout(FIRST_SHOWN_MS) });
  }

  /** @param {Session} session @param {{articulation?: number, liveliness?: number}} numbers as in docs/API.md */
  async change({ urls, token }, numbers) {
    await this.request(urls.self, { method: 'PATCH', token, body: numbers });
  }

  /**
   * End a session, also from a page that is being left; a failure does not matter, the server frees an abandoned one
   * itself.
   *
   * @param {Session} session
   */
  async end({ urls, token }) {
    await this.request(urls.self, { method: 'DELETE', token, keepalive: true }).catch(() => {});
  }
}

/**
 * @param {import('../types.js').BuildReport | null} report
 * @returns {string[]} what to do about the lines that are poor
 */
export function adviceIn(report) {
  return (report?.lines ?? []).filter(({ verdict }) => verdict === 'poor').map(({ advice }) => advice);
}
