/** The one file of an uploaded form, as it arrives, with the text fields that came before it. */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import busboy from 'busboy';
import { errorMessage } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';

const LIMITS = { fields: 20, fieldSize: 4096, files: 1, parts: 30 };

export interface FormFile {
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Readable;
  /** Of the part, if it says. */
  readonly mimeType: string;
}

const malformed = (detail: string): StorageError =>
  new StorageError('InvalidParameters', `The form is not valid: ${detail}`);

/**
 * Resolves when the file begins; the rest arrives as `body` is read. What is after the file is ignored.
 * @throws StorageError InvalidParameters when there is no form or no file in it.
 */
export async function formFile(request: IncomingMessage): Promise<FormFile> {
  const { promise, resolve, reject } = Promise.withResolvers<FormFile>();
  const fields = new Map<string, string>();
  let parser: busboy.Busboy;
  try {
    parser = busboy({ headers: request.headers, limits: LIMITS });
  } catch (error) {
    throw malformed(errorMessage(error));
  }
  let body: Readable | null = null;
  const fail = (error: Error) => {
    reject(error);
    body?.destroy(error);
  };
  parser.on('field', (name, value) => fields.set(name, value));
  parser.on('file', (_name, stream, { mimeType }) => {
    body = stream;
    resolve({ fields, body: stream, mimeType });
  });
  parser.on('error', (error) => fail(malformed(errorMessage(error))));
  parser.on('close', () => reject(malformed('it has no file.')));
  request.on('close', () => {
    if (!request.complete) fail(malformed('it was cut off.'));
  });
  request.pipe(parser);
  return await promise;
}
