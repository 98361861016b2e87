/** What the proxy and its workers say to each other. */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import { isProblemName, type ProblemName, StorageError } from '../problems.ts';

const id = v.number();
const archive = v.object({
  root: v.string(),
  top: v.array(v.string()),
  names: v.array(v.string()),
  format: v.picklist(['zip', 'tar', 'list']),
  largest: v.optional(v.number()),
});

/** To a worker. `more` and `stop` are about a `make` that goes on. */
export const order = v.variant('kind', [
  v.object({
    kind: v.literal('unpack'),
    id,
    /** A descriptor of the archive: a worker shares those of its process. */
    archive: v.number(),
    root: v.string(),
    into: v.string(),
    session: v.string(),
  }),
  v.object({ kind: v.literal('check'), id, archive }),
  v.object({ kind: v.literal('make'), id, archive }),
  v.object({ kind: v.literal('more'), id }),
  v.object({ kind: v.literal('stop'), id }),
]);

/** From a worker. After `done` and `failed` there is nothing more about an order. */
export const report = v.variant('kind', [
  v.object({ kind: v.literal('begun'), id }),
  v.object({ kind: v.literal('piece'), id, bytes: v.instance(Uint8Array<ArrayBuffer>) }),
  v.object({ kind: v.literal('done'), id }),
  v.object({
    kind: v.literal('failed'),
    id,
    message: v.string(),
    /** Of a StorageError. */
    problem: v.optional(v.custom<ProblemName>(isProblemName)),
    /** Of an error of the system. */
    code: v.optional(v.string()),
  }),
]);

export type Order = v.InferOutput<typeof order>;
export type Report = v.InferOutput<typeof report>;
type Failed = Extract<Report, { kind: 'failed' }>;

export function failureOf(id: number, error: unknown): Failed {
  const told = { kind: 'failed', id, message: errorMessage(error) } as const;
  if (error instanceof StorageError) return { ...told, problem: error.problem };
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? { ...told, code } : told;
}

export function errorOf({ message, problem, code }: Failed): Error {
  if (problem !== undefined) return new StorageError(problem, message);
  return code === undefined ? new Error(message) : Object.assign(new Error(message), { code });
}
