/** What a driver inside a language process tells the runner: JSON lines on file descriptor 3. */
import * as v from 'valibot';

/** Events that have a place in the output; marks in both output streams name their `seq`. */
const orderedMessage = v.variant('type', [
  v.object({ seq: v.number(), type: v.literal('stderr'), text: v.string() }),
  v.object({ seq: v.number(), type: v.literal('html'), data: v.string() }),
  v.object({ seq: v.number(), type: v.literal('media'), mime: v.string(), data: v.string() }),
  v.object({ seq: v.number(), type: v.literal('prompt'), password: v.boolean() }),
  v.object({ seq: v.number(), type: v.literal('done'), exitCode: v.number() }),
]);
export type OrderedMessage = v.InferOutput<typeof orderedMessage>;

export const driverMessage = v.union([
  orderedMessage,
  v.object({ type: v.literal('ready') }),
  v.object({ type: v.literal('completion'), id: v.number(), suggestions: v.array(v.string()) }),
]);

export type DriverCommand =
  | { op: 'init'; nonce: string }
  | { op: 'run'; code: string; name: string }
  /** Of the run with this name only; for drivers that hear it. */
  | { op: 'interrupt'; name: string }
  | { op: 'input'; line: string }
  | { op: 'complete'; id: number; code: string; line: string };
