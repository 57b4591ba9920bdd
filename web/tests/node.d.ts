/** What the tests use of Node. The whole of its types would also change those of browsers, such as what `setTimeout` returns. */

declare module 'node:test' {
  export function test(name: string, body: () => void | Promise<void>): void;
}

declare module 'node:assert/strict' {
  function ok(value: unknown, message?: string): void;
  function equal<T>(actual: T, expected: T, message?: string): void;
  function notEqual<T>(actual: T, expected: T, message?: string): void;
  function deepEqual(actual: unknown, expected: unknown, message?: string): void;
  function rejects(promise: Promise<unknown>, expected: (new (...args: never[]) => Error) | ((error: Error) => boolean)): Promise<void>;
  function throws(run: () => unknown, expected: new (...args: never[]) => Error): void;
  const assert: { ok: typeof ok; equal: typeof equal; notEqual: typeof notEqual; deepEqual: typeof deepEqual; rejects: typeof rejects; throws: typeof throws };
  export default assert;
}

declare function setImmediate(run: (value?: unknown) => void): void;

declare const Buffer: {
  from(data: string | Uint8Array): Uint8Array;
  concat(parts: Uint8Array[]): Uint8Array;
};
