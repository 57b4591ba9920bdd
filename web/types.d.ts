/** The shapes of the server's answers and events, of the modules' own events, and of the pages' elements. No page loads it. */

export type AvatarState = 'ready' | 'building' | 'failed';

/** An item of `GET /api/avatars`. */
export interface AvatarEntry {
  id: string;
  name: string | null;
  state: AvatarState;
  /** Whether it was uploaded, and so can be removed. */
  own?: boolean;
}

/** An event of `GET /api/avatars/{id}/events`. */
export interface AvatarBuild {
  state: AvatarState;
  /** 0..1 */
  progress: number;
  message: string | null;
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
  urls: { self: string; peer: string; audio: string; whep: string };
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
  message?: unknown;
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

/** The elements that scripts look up, by id, of all three pages. */
export interface Elements {
  'all-figures': HTMLDListElement;
  articulation: HTMLInputElement;
  'articulation-row': HTMLDivElement;
  'articulation-value': HTMLOutputElement;
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
  face: HTMLVideoElement;
  figures: HTMLElement;
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
  sound: HTMLButtonElement;
  start: HTMLButtonElement;
  'status-detail': HTMLSpanElement;
  'status-line': HTMLSpanElement;
  stop: HTMLButtonElement;
  'upload-note': HTMLParagraphElement;
  visitor: HTMLParagraphElement;
  'voice-delay': HTMLSpanElement;
  'voice-line': HTMLCanvasElement;
  welcome: HTMLButtonElement;
}
