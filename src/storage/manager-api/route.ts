/** How routes of the manager-facing API are declared: a method, a path, a schema, what is done. */
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';
import { parseOutside } from '../../common/parse.ts';
import { StorageError } from '../problems.ts';

export type Reply =
  | { readonly status: number; readonly json?: unknown }
  /** An RFC 7807 document. */
  | { readonly status: number; readonly problem: object }
  /** The whole file as bytes; closed when it is sent. */
  | { readonly file: FileHandle; readonly sizeBytes: number }
  /** Bytes that are got as they are sent. */
  | { readonly body: AsyncIterable<Uint8Array>; readonly sizeBytes: number };

export interface ManagerRoute {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** `:name` stands for one part, which is a parameter of that name. */
  readonly path: string;
  /** Answers without the managers' secret. */
  readonly isOpen: boolean;
  /** @param params the JSON body or the query, with what the path names; not looked at yet. */
  run(params: unknown): Promise<Reply>;
  /** Instead of `run`, where the body is no JSON: reads it itself. The parameters lack it. */
  readonly receive?: (request: IncomingMessage, params: object) => Promise<Reply>;
}

/** @throws StorageError InvalidParameters that names every wrong field. */
export function parse<S extends v.GenericSchema>(schema: S, params: unknown): v.InferOutput<S> {
  const parsed = parseOutside(schema, params);
  if (parsed.success) return parsed.output;
  const complaints = parsed.issues.map(
    (issue) => `${v.getDotPath(issue) ?? 'the body'}: ${issue.message}`,
  );
  throw new StorageError(
    'InvalidParameters',
    `The parameters are not valid: ${complaints.join('; ')}`,
    complaints,
  );
}

export function route<S extends v.GenericSchema>(
  method: ManagerRoute['method'],
  path: string,
  schema: S,
  handle: (params: v.InferOutput<S>) => Promise<Reply>,
): ManagerRoute {
  return { method, path, isOpen: false, run: (params) => handle(parse(schema, params)) };
}

/** One whose body is a form with a file. */
export const receivingRoute = (
  method: ManagerRoute['method'],
  path: string,
  receive: (request: IncomingMessage, params: object) => Promise<Reply>,
): ManagerRoute => ({
  method,
  path,
  isOpen: false,
  run: async () => {
    throw new StorageError('InvalidParameters', 'The body must be a multipart form.');
  },
  receive,
});

export const openRoute = (path: string, handle: () => Promise<Reply>): ManagerRoute => ({
  method: 'GET',
  path,
  isOpen: true,
  run: handle,
});

export const ok = (json: unknown): Reply => ({ status: 200, json });
export const noContent: Reply = { status: 204 };
