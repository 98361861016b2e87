/**
 * Fetches a large file over HTTP: bounded in size and silence, checked, and gone on with where it broke off,
 * also when the installer was killed in between.
 */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { formatSize } from '../../common/sizes.ts';
import { writeOwnFile } from '../layout.ts';
import type { StepContext } from '../step.ts';

export interface Download {
  readonly url: string;
  /** Where the file will be; what came so far is beside it, with `.part` at its end. */
  readonly path: string;
  readonly maxBytes: number;
  /** In hexadecimal; null when nobody knows it. */
  readonly sha256: string | null;
  /** Longest time without a byte. Milliseconds. */
  readonly silenceMs: number;
  /** What names another place or sum, for errors. */
  readonly options: { readonly url: string; readonly sha256: string };
}

/** Connections that may break before it is given up. */
const MAX_ATTEMPTS = 5;
const RETRY_MS = 1_000;

/** How often it is told how far it is: for each twentieth, and each so many bytes of an unknown number. */
const TOLD_PARTS = 20;
const TOLD_BYTES = 16 * 1024 ** 2;

/** The server's answer is final: asking again changes nothing. */
class Refused extends UserError {}

const partPath = ({ path }: Download): string => `${path}.part`;
/** What tells that the server still has the file of which a part is here. */
const validatorPath = ({ path }: Download): string => `${path}.part.of`;

function forget(download: Download): void {
  rmSync(partPath(download), { force: true });
  rmSync(validatorPath(download), { force: true });
}

/** How much is here of what the server is asked to go on with. */
function begun(download: Download): { readonly size: number; readonly validator: string } | null {
  if (!existsSync(partPath(download)) || !existsSync(validatorPath(download))) return null;
  const { size } = statSync(partPath(download));
  return size === 0 ? null : { size, validator: readFileSync(validatorPath(download), 'utf8') };
}

/** @throws Refused when more would come than is allowed. */
function checkSize(download: Download, bytes: number): void {
  if (bytes <= download.maxBytes) return;
  forget(download);
  throw new Refused(
    `${download.url} has ${formatSize(bytes)} or more, and at most ${formatSize(download.maxBytes)} are taken.`,
    { hint: `Is that the right file? ${download.options.url} names another one.` },
  );
}

/** Bytes of the whole file; null when the server does not say. */
function totalOf(reply: Response, from: number): number | null {
  const length = Number(reply.headers.get('content-length') ?? Number.NaN);
  return Number.isSafeInteger(length) ? from + length : null;
}

/** One connection: asks for what is missing, and appends it. */
async function attempt(download: Download, clock: Clock, context: StepContext): Promise<void> {
  const before = begun(download);
  const silence = new AbortController();
  const watch = () => clock.timer(download.silenceMs, () => silence.abort());
  let timer = watch();
  const signal = AbortSignal.any([context.signal, silence.signal]);
  try {
    const reply = await fetch(download.url, {
      headers:
        before === null ? {} : { Range: `bytes=${before.size}-`, 'If-Range': before.validator },
      signal,
      // The file is what is sent, not what that could be unpacked to.
      decompress: false,
    });
    if (reply.status === 416) forget(download);
    if (!reply.ok) {
      await reply.body?.cancel();
      const said = `${download.url} answered ${reply.status}.`;
      if (reply.status === 416 || reply.status >= 500) throw new UserError(said);
      throw new Refused(said, {
        hint: `Name another place, or a file, with ${download.options.url}.`,
      });
    }
    const from = reply.status === 206 && before !== null ? before.size : 0;
    const total = totalOf(reply, from);
    checkSize(download, total ?? from);
    const validator = reply.headers.get('etag') ?? reply.headers.get('last-modified');
    if (from === 0) forget(download);
    // A weak one says too little for going on in the middle.
    if (validator !== null && !validator.startsWith('W/')) {
      writeOwnFile(validatorPath(download), validator);
    }
    await using file = await open(partPath(download), from === 0 ? 'w' : 'a');
    let size = from;
    let told = -1;
    for await (const chunk of reply.body ?? []) {
      timer.cancel();
      timer = watch();
      size += chunk.byteLength;
      checkSize(download, size);
      await file.write(chunk);
      const part = total === null ? size / TOLD_BYTES : (TOLD_PARTS * size) / Math.max(1, total);
      if (Math.floor(part) === told) continue;
      told = Math.floor(part);
      const all =
        total === null
          ? ''
          : ` of ${formatSize(total)}, ${Math.floor((100 * size) / Math.max(1, total))} %`;
      context.progress(`${formatSize(size)}${all}`);
    }
    if (total !== null && size < total) {
      throw new UserError(`${download.url} ended after ${size} of ${total} bytes.`);
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!silence.signal.aborted) throw error;
    throw new UserError(`${download.url} sent nothing for ${download.silenceMs / 1000} s.`);
  } finally {
    timer.cancel();
  }
}

export async function sha256Of(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256');
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest('hex');
}

/** @throws UserError when a file is not the one whose sum is known. */
export async function checkSum(path: string, sha256: string | null, option: string): Promise<void> {
  if (sha256 === null) return;
  const found = await sha256Of(path);
  if (found === sha256.toLowerCase()) return;
  throw new UserError(`${path} is not the file that is meant: its SHA-256 is ${found}.`, {
    hint: `Fetch it anew, or give the sum of this one with ${option} once you know that it is right.`,
  });
}

/**
 * Fetches a file, or the rest of it.
 * @throws UserError that says what is wrong with the file, its place, or the way there.
 */
export async function fetchFile(
  download: Download,
  clock: Clock,
  context: StepContext,
): Promise<void> {
  await mkdir(dirname(download.path), { recursive: true });
  for (let tried = 1; ; tried += 1) {
    try {
      await attempt(download, clock, context);
      break;
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof Refused) throw error;
      if (tried === MAX_ATTEMPTS) {
        throw new UserError(`${download.url} could not be fetched: ${errorMessage(error)}`, {
          hint: `What came so far is kept. Without a way there, fetch it elsewhere and name the file with ${download.options.url}.`,
          cause: error,
        });
      }
      context.log(`${errorMessage(error)}; going on`);
      await clock.sleep(RETRY_MS);
    }
  }
  try {
    await checkSum(partPath(download), download.sha256, download.options.sha256);
  } catch (error) {
    forget(download);
    throw error;
  }
  await rename(partPath(download), download.path);
  forget(download);
}
