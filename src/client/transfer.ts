/**
 * Files between this machine and a storage proxy: uploads in parts (tus 1.0) and downloads, each going
 * on where it was when the connection breaks.
 */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import * as v from 'valibot';
import { ApiError, ConnectionError, SourceError } from './errors.ts';
import type { FileTicket } from './folder.ts';
import { apiErrorOf, type HttpClient } from './http.ts';

/** Longest wait for an answer, or for the next part of one. Milliseconds. */
const SILENCE_MS = 60_000;
/** Longest time that one part of an upload may take. Milliseconds. */
const PART_MS = 15 * 60_000;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

export interface TransferOptions {
  /** Size of the parts of an upload. Bytes. */
  readonly chunkBytes: number;
  /** Breaks in a row, without any progress between, after which it is given up. */
  readonly maxRetries: number;
  /** URL of a storage proxy → the one to use in its place. */
  readonly addresses?: ReadonlyMap<string, string>;
  /** Told how many bytes are done. */
  readonly report?: (done: number, total: number) => void;
}

const listedLine = v.union([
  v.object({
    path: v.string(),
    type: v.picklist(['FILE', 'DIRECTORY', 'SYMLINK']),
    /** Bytes. */
    size: v.number(),
    /** ISO 8601. */
    modified: v.string(),
  }),
  v.object({ end: v.literal(true) }),
]);
type ListedEntry = Extract<v.InferOutput<typeof listedLine>, { path: string }>;

/** How a download is gone on with later, by another program. */
export interface DownloadResumption {
  /** What is at the path already, of which version of the file; null when nothing is. */
  readonly beginning?: { readonly bytes: number; readonly version: string } | null;
  /**
   * Told before anything is written: the version, null when the server tells none, how many bytes are
   * there, and of how many.
   */
  readonly begun?: (state: { version: string | null; done: number; total: number }) => void;
}

/** What `If-Range` takes: a tag that stands for every byte of a file, else a date. */
function versionOf(headers: Headers): string | null {
  const tag = headers.get('etag');
  return tag === null || tag.startsWith('W/') ? headers.get('last-modified') : tag;
}

/** Whether another try can help: the connection broke, or the server was not ready. */
const isPassing = (error: unknown): boolean =>
  error instanceof ApiError
    ? error.status >= 500 || error.status === 409
    : !(error instanceof SourceError);

/** @throws SourceError when it cannot be read, or there is less of it than there was. */
async function bytesOf(part: Blob, announced: number): Promise<ArrayBuffer> {
  let bytes: ArrayBuffer;
  try {
    bytes = await part.arrayBuffer();
  } catch (error) {
    throw new SourceError('What is being uploaded cannot be read any more.', { cause: error });
  }
  if (bytes.byteLength === announced) return bytes;
  throw new SourceError('What is being uploaded has become shorter.');
}

/** Gives an answer up when nothing of it comes for a while. */
class SilenceWatch {
  private readonly silence = new AbortController();
  private readonly giveUp: () => void;
  private timer: ReturnType<typeof setTimeout>;

  constructor(url: string) {
    this.giveUp = () =>
      this.silence.abort(new ConnectionError(url, 'The server has fallen silent.'));
    this.timer = setTimeout(this.giveUp, SILENCE_MS);
  }

  get signal(): AbortSignal {
    return this.silence.signal;
  }

  /** The answer; when it does not come, the watch ends. */
  async during(asking: Promise<Response>): Promise<Response> {
    try {
      return await asking;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** The body, with which the watch ends. */
  async *over(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body) {
        yield chunk;
        clearTimeout(this.timer);
        this.timer = setTimeout(this.giveUp, SILENCE_MS);
      }
    } finally {
      this.end();
    }
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

export class FileTransfer {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  private url({ url, token }: FileTicket, { addresses }: TransferOptions): string {
    const base = addresses === undefined ? url : addresses.get(url);
    if (base === undefined) {
      throw new ConnectionError(url, 'No other address is given for this storage proxy.');
    }
    return `${base}?token=${encodeURIComponent(token)}`;
  }

  private async ask(
    url: string,
    init: RequestInit,
    signal = AbortSignal.timeout(SILENCE_MS),
  ): Promise<Response> {
    const response = await fetch(url, { ...init, redirect: 'manual', tls: this.http.tls, signal });
    if (response.status < 400) return response;
    throw await apiErrorOf(response);
  }

  /** Tries until it succeeds, as long as there is progress now and then. */
  private async persist(
    maxRetries: number,
    run: (progressed: () => void) => Promise<void>,
  ): Promise<void> {
    for (let failures = 0; ; ) {
      try {
        await run(() => {
          failures = 0;
        });
        return;
      } catch (error) {
        failures += 1;
        if (!isPassing(error) || failures > maxRetries) throw error;
        await Bun.sleep(Math.min(FIRST_PAUSE_MS * 2 ** failures, MAX_PAUSE_MS));
      }
    }
  }

  /** How much has arrived of an upload. Bytes. @throws as `upload`, without another try. */
  async uploadOffset(ticket: FileTicket, options: TransferOptions): Promise<number> {
    const headers = { 'Tus-Resumable': '1.0.0' };
    const state = await this.ask(this.url(ticket, options), { method: 'HEAD', headers });
    return Number(state.headers.get('upload-offset') ?? 0);
  }

  /**
   * Uploads a file with a ticket for exactly its size.
   * @param isNew whether nothing can have arrived yet, which saves asking.
   * @throws ApiError when it is refused; SourceError; what fetch throws when breaks do not end.
   */
  async upload(
    ticket: FileTicket,
    source: Blob,
    options: TransferOptions,
    isNew = false,
  ): Promise<void> {
    const url = this.url(ticket, options);
    const headers = { 'Tus-Resumable': '1.0.0' };
    const total = source.size;
    let furthest = 0;
    let isFirst = isNew;
    await this.persist(options.maxRetries, async (progressed) => {
      let offset = isFirst ? 0 : await this.uploadOffset(ticket, options);
      isFirst = false;
      // What arrived of a part before it broke off is progress too.
      if (offset > furthest) progressed();
      furthest = Math.max(furthest, offset);
      options.report?.(offset, total);
      // An empty file takes one empty part.
      do {
        const end = Math.min(total, offset + options.chunkBytes);
        const body = await bytesOf(source.slice(offset, end), end - offset);
        const request = {
          method: 'PATCH',
          headers: {
            ...headers,
            'Upload-Offset': String(offset),
            'Content-Type': 'application/offset+octet-stream',
          },
          body,
        };
        const answer = await this.ask(url, request, AbortSignal.timeout(PART_MS));
        await answer.body?.cancel();
        const reached = Number(answer.headers.get('upload-offset') ?? end);
        if (reached > offset) progressed();
        offset = reached;
        furthest = Math.max(furthest, offset);
        options.report?.(offset, total);
      } while (offset < total);
    });
  }

  /**
   * A tar of what the ticket is for, as it arrives; null from servers that make no tars.
   * @param largest files of more bytes are to be named only, by servers that know how.
   * @throws ApiError when it is refused; what fetch throws, also while it arrives.
   */
  async tar(
    ticket: FileTicket,
    options: TransferOptions,
    largest: number,
  ): Promise<AsyncIterable<Uint8Array> | null> {
    const query = `format=tar&largest=${largest}`;
    return await this.stream(`${this.url(ticket, options)}&${query}`, 'application/x-tar');
  }

  /**
   * What is in the directories that the ticket is for; null from servers that have no such lists.
   * @throws ApiError when it is refused; what fetch throws; ConnectionError when it breaks off.
   */
  async list(ticket: FileTicket, options: TransferOptions): Promise<ListedEntry[] | null> {
    const url = `${this.url(ticket, options)}&format=list`;
    const body = await this.stream(url, 'application/x-ndjson');
    if (body === null) return null;
    const entries: ListedEntry[] = [];
    const decoder = new TextDecoder();
    let rest = '';
    let isWhole = false;
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const read = v.parse(listedLine, JSON.parse(line));
        if ('end' in read) isWhole = true;
        else entries.push(read);
      }
    }
    if (!isWhole) throw new ConnectionError(url, 'The list broke off.');
    return entries;
  }

  /** The body of an answer of this type; null when it is of another one. */
  private async stream(url: string, type: string): Promise<AsyncIterable<Uint8Array> | null> {
    const watch = new SilenceWatch(url);
    const response = await watch.during(this.ask(url, {}, watch.signal));
    if (response.headers.get('content-type') === type) return watch.over(response.body ?? []);
    watch.end();
    await response.body?.cancel();
    return null;
  }

  /**
   * Downloads a file to a path where nothing is yet, or its beginning.
   * @throws ApiError when it is refused; what fetch and the file system throw.
   */
  async download(
    ticket: FileTicket,
    path: string,
    options: TransferOptions,
    { beginning = null, begun = () => {} }: DownloadResumption = {},
  ): Promise<void> {
    const url = this.url(ticket, options);
    // The last byte is asked for again: of a file that is complete nothing could be sent.
    let done = Math.max(0, (beginning?.bytes ?? 0) - 1);
    let version: string | null = beginning?.version ?? null;
    await this.persist(options.maxRetries, async (progressed) => {
      const headers: Record<string, string> =
        done > 0 && version !== null ? { Range: `bytes=${done}-`, 'If-Range': version } : {};
      const watch = new SilenceWatch(url);
      const response = await watch.during(this.ask(url, { headers }, watch.signal));
      // The file changed, or cannot be continued: once more from its beginning.
      if (response.status !== 206) done = 0;
      version = versionOf(response.headers);
      const length = Number(response.headers.get('content-length') ?? 0);
      const total = done + length;
      begun({ version, done, total });
      options.report?.(done, total);
      const out = createWriteStream(path, done === 0 ? {} : { flags: 'r+', start: done });
      try {
        for await (const chunk of watch.over(response.body ?? [])) {
          if (!out.write(chunk)) await once(out, 'drain');
          done += chunk.length;
          progressed();
          options.report?.(done, total);
        }
      } finally {
        watch.end();
        out.end();
        await once(out, 'close');
      }
      if (done < total) throw new ConnectionError(url, 'The download ended early.');
    });
  }
}
