/**
 * Typed remote procedure calls described by a table of methods. One table yields the interface, the
 * parsing server side and the parsing client side, so the two ends cannot drift apart, and the
 * same interface can be called in-process.
 */
import type * as v from 'valibot';

type Schema = v.GenericSchema<unknown, unknown>;

export interface Method<P extends Schema = Schema, R extends Schema = Schema> {
  readonly params: P;
  readonly result: R;
  /** How long the caller waits before giving up. Milliseconds. */
  readonly timeoutMs: number;
}

export type Api = Readonly<Record<string, Method>>;

export const method = <P extends Schema, R extends Schema>(
  definition: Method<P, R>,
): Method<P, R> => definition;

/** The interface that a method table describes. Every call may reject with a BackendError. */
export type ApiOf<A extends Api> = {
  [K in keyof A]: (params: v.InferOutput<A[K]['params']>) => Promise<v.InferOutput<A[K]['result']>>;
};
