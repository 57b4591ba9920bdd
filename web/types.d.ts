/** The shapes of the server's answers and events, of the modules' own events, and of the pages' elements. No page loads it. */

export type AvatarState = 'ready' | 'building' | 'failed';

/** An item of `GET /api/avatars`. */
export interface AvatarEntry {
  id: string;
  name: string | null;
  state: AvatarState;
  /** Whether it was uploaded, and so can be removed. */
  own?: boolean;
  /** Other pictures of the same person, made when they are first wanted. */
  forms?: string[];
}

/** An event of `GET /api/avatars/{id}/events`. */
export interface AvatarBuild {
  state: AvatarState;
  /** 0..1 */
  progress: number;
  message: string | null;
}

/** The report in the answer of `GET /api/avatars/{id}`. */
export interface BuildReport {
  lines: { name: string; verdict: 'good' | 'fair' | 'poor'; advice: string }[];
}

/** The answer of `GET /api/sessions/{id}/connectivity`. */
export interface Connectivity {
  ice_servers: RTCIceServer[];
  ice_transport_policy: RTCIceTransportPolicy;
}

/** The answer of `POST /api/sessions`. */
export interface Session extends Connectivity {
  id: string;
  token: string;
  viewer_token: string;
  look_ahead_ms: number;
  /** How far the mouth goes, 0.5 to 1.5 of what was heard; null or absent without one. */
  articulation?: number | null;
  liveliness?: number;
  urls: { self: string; peer: string; audio: string; whep: string };
  /** Whether the server turns text into speech; absent in a session that an earlier page left. */
  speaks_text?: boolean;
  /** Names of the motions that may be asked for; absent in a session that an earlier page left. */
  motions?: string[];
  /** The devices of the server's machine that the session uses; present if they were asked for. */
  local_audio?: ('input' | 'output')[];
}

/** An item of `GET /api/sessions`. */
export interface ListedSession {
  id: string;
  state: string;
  urls: { self: string; whep: string };
}

/** What the pages read of `GET /api/sessions/{id}`. */
export interface SessionFigures {
  state: string;
  speaking: boolean;
  fps: number | null;
  look_ahead_ms: number;
  mouth_latency_ms: { p50: number | null; p95: number | null; p99: number | null };
  /** Positive: sound ahead of the picture. */
  av_offset_ms: number | null;
  interrupt_tail_ms: number | null;
  /** Names of the motions of the avatar that may be asked for; absent from an earlier server. */
  motions?: string[];
  frames_rendered: number;
  frames_idle: number;
  frames_repeated: number;
  frames_dropped: number;
  audio_underruns: number;
  recorded: boolean;
  streams: { count: number; live: number };
}

/** `GET /api/sessions/{id}/notices`. */
export interface Notices {
  recorded: boolean;
  streamed: boolean;
}

/** The `error` of an answer that is not 2xx. */
export interface ErrorBody {
  code?: string;
  message?: string;
  reason?: string;
}

/** A message of the control channel; the fields beside `type` depend on it. */
export interface ControlMessage {
  type: string;
  text?: unknown;
  code?: unknown;
  message?: unknown;
  motion?: unknown;
  reason?: unknown;
  seconds?: unknown;
}

/** An EventTarget that fires CustomEvents: `Details` names them, and the type of each one's `detail`. */
export interface Events<Details> extends Omit<EventTarget, 'addEventListener'> {
  addEventListener<Name extends keyof Details & string>(
    name: Name, listener: (event: CustomEvent<Details[Name]>) => void, options?: AddEventListenerOptions,
  ): void;
}

/** For `class … extends`: EventTarget, with the events that the class fires. */
export type EventsClass<Details> = new () => Events<Details>;

/** For `class … extends`: HTMLElement, with the events that the class fires before those of every element. */
export type ElementClass<Details> = new () => {
  addEventListener<Name extends keyof Details & string>(
    name: Name, listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | AddEventListenerOptions,
  ): void;
} & HTMLElement;

/** The events of `<lipstream-avatar>`, with the type of each one's `detail`. */
export interface AvatarEvents {
  /** The face is there, or there again. */
  connected: null;
  /** It is gone; the element comes back by itself, unless it was taken out of the document. */
  disconnected: { reason: string };
  /** The avatar begins to speak. */
  speaking: null;
  /** It has spoken, or was interrupted. */
  ended: { interrupted: boolean };
  /** A sentence of a text begins to be heard. */
  caption: { text: string };
  /** A motion of the avatar begins to be seen. */
  motionstarted: { name: string };
  /** It is over. */
  motionended: { name: string };
  /** Something went wrong; `retries` says whether the element tries again by itself. */
  error: { reason: string; message: string; retries: boolean };
  /** Whatever the session tells its clients, as `docs/API.md` lists it. */
  message: ControlMessage;
}

declare global {
  interface HTMLElementTagNameMap {
    'lipstream-avatar': import('./avatar.js').LipstreamAvatar;
  }
}

/** The elements that scripts look up, by id, of all three pages. */
export interface Elements {
  'all-figures': HTMLDListElement;
  articulation: HTMLInputElement;
  'articulation-row': HTMLDivElement;
  'articulation-value': HTMLOutputElement;
  'motion-file': HTMLInputElement;
  'motion-name': HTMLSelectElement;
  'motion-note': HTMLParagraphElement;
  'motion-row': HTMLDivElement;
  liveliness: HTMLInputElement;
  'liveliness-row': HTMLDivElement;
  'liveliness-value': HTMLOutputElement;
  'auto-gain': HTMLInputElement;
  'avatar-video': HTMLVideoElement;
  backdrop: HTMLCanvasElement;
  banner: HTMLParagraphElement;
  check: HTMLButtonElement;
  checkup: HTMLDialogElement;
  'checkup-line': HTMLParagraphElement;
  'checkup-list': HTMLUListElement;
  clock: HTMLParagraphElement;
  consent: HTMLDialogElement;
  'consent-who': HTMLInputElement;
  'cut-out': HTMLCanvasElement;
  'echo-cancellation': HTMLInputElement;
  'eyes-shut': HTMLInputElement;
  face: HTMLVideoElement;
  figures: HTMLElement;
  form: HTMLSelectElement;
  'form-row': HTMLDivElement;
  gallery: HTMLDivElement;
  'gallery-note': HTMLParagraphElement;
  hear: HTMLInputElement;
  hears: HTMLSpanElement;
  hint: HTMLParagraphElement;
  interrupt: HTMLButtonElement;
  intro: HTMLElement;
  join: HTMLDialogElement;
  'join-token': HTMLInputElement;
  level: HTMLElement;
  line: HTMLParagraphElement;
  microphone: HTMLSelectElement;
  'microphone-note': HTMLParagraphElement;
  motions: HTMLDivElement;
  mute: HTMLButtonElement;
  'noise-suppression': HTMLInputElement;
  notice: HTMLDivElement;
  'notice-action': HTMLButtonElement;
  'notice-countdown': HTMLParagraphElement;
  'notice-text': HTMLParagraphElement;
  'notice-title': HTMLHeadingElement;
  'pop-out': HTMLButtonElement;
  portrait: HTMLDivElement;
  push: HTMLButtonElement;
  'push-words': HTMLSpanElement;
  recorded: HTMLElement;
  rest: HTMLSelectElement;
  sample: HTMLButtonElement;
  sound: HTMLButtonElement;
  start: HTMLButtonElement;
  'status-detail': HTMLSpanElement;
  'status-line': HTMLSpanElement;
  stop: HTMLButtonElement;
  text: HTMLInputElement;
  'type-here': HTMLFormElement;
  'upload-note': HTMLParagraphElement;
  visitor: HTMLParagraphElement;
  'voice-delay': HTMLSpanElement;
  'voice-line': HTMLCanvasElement;
  welcome: HTMLButtonElement;
}
