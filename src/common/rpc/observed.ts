/** A method table's implementation whose calls are told of, for callers in the same process. */
import { BackendError } from '../errors.ts';
import type { Tracer } from '../tracing.ts';
import type { Api, ApiOf } from './api.ts';

/** @param problem null when the call succeeded. */
export type OnAnswer = (method: string, elapsedMs: number, problem: string | null) => void;

/** The same methods; each call is a span, and `onAnswer` is told how it ended. */
export function observed<A extends Api>(
  api: A,
  implementation: ApiOf<A>,
  { onAnswer, tracer }: { readonly onAnswer: OnAnswer; readonly tracer: Tracer },
): ApiOf<A> {
  const watch =
    <K extends keyof A & string>(name: K): ApiOf<A>[K] =>
    async (params) => {
      const startedMs = performance.now();
      try {
        const result = await tracer.run(
          { name: `rpc ${name}`, kind: 'server', onlyWithin: true },
          () => implementation[name](params),
        );
        onAnswer(name, performance.now() - startedMs, null);
        return result;
      } catch (error) {
        const problem = error instanceof BackendError ? error.problem : 'InternalServerError';
        onAnswer(name, performance.now() - startedMs, problem);
        throw error;
      }
    };
  const calls = Object.fromEntries(Object.keys(api).map((name) => [name, watch(name)]));
  // Each entry has the type of its own method; the compiler can't follow that through Object.keys.
  return calls as unknown as ApiOf<A>;
}
