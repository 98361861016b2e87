/** The process's own streams as a command's outside world. */
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { CommandIo, OutputStream } from '../../common/command.ts';
import { errorCode } from '../../common/errors.ts';

const FULL_PIPE_WAIT_MS = 2;

/** The reader of stdout went away (`… | head`): a reason to clean up and end, not to complain. */
export class BrokenPipe extends Error {
  override readonly name = 'BrokenPipe';
}

/** What the shell would see had SIGPIPE ended the program, as it ends others. */
export const BROKEN_PIPE_EXIT_CODE = 141;

/**
 * Writes everything before it returns. Bun's `process.stdout` buffers without bound and loses what
 * is still buffered when the process exits; this holds the program back instead, so a slow reader
 * slows the sender.
 * @throws BrokenPipe when nobody reads any more.
 */
function writeFully(fd: number, chunk: string | Uint8Array): void {
  const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk;
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EPIPE') throw new BrokenPipe('Nobody reads the output.');
      if (code !== 'EAGAIN') throw error;
      Bun.sleepSync(FULL_PIPE_WAIT_MS);
    }
  }
}

function outputStream(fd: number, size: () => { columns?: number; rows?: number }): OutputStream {
  const isTTY = isatty(fd);
  return {
    isTTY,
    write: (chunk) => writeFully(fd, chunk),
    get columns() {
      return (isTTY && size().columns) || 80;
    },
    get rows() {
      return (isTTY && size().rows) || 24;
    },
  };
}

/** Remarks that nobody reads are dropped: the command's work is on stdout. */
function remarks(stream: OutputStream): OutputStream {
  return {
    isTTY: stream.isTTY,
    get columns() {
      return stream.columns;
    },
    get rows() {
      return stream.rows;
    },
    write(chunk) {
      try {
        stream.write(chunk);
      } catch (error) {
        if (!(error instanceof BrokenPipe)) throw error;
      }
    },
  };
}

export function processIo(): CommandIo {
  return {
    stdout: outputStream(1, () => process.stdout),
    stderr: remarks(outputStream(2, () => process.stderr)),
    env: process.env,
    cwd: process.cwd(),
  };
}

/**
 * Ctrl-C outside a command that handles it itself: says `Interrupted!` and dies by the signal, so
 * that a calling shell script stops too.
 */
export function dieOnInterrupt(io: CommandIo): void {
  const onInterrupt = () => {
    if (process.listenerCount('SIGINT') > 1) return;
    io.stderr.write('Interrupted!\n');
    process.removeListener('SIGINT', onInterrupt);
    process.kill(process.pid, 'SIGINT');
  };
  process.on('SIGINT', onInterrupt);
}
