/** A log file that is rotated by size, so that it never fills the disk. */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { errorCode, errorMessage, UserError } from '../common/errors.ts';

export interface LogFileOptions {
  readonly path: string;
  /** Largest size before the file is set aside as `<path>.1`, bytes. Default 10 MiB. */
  readonly maxBytes?: number;
  /** How many set-aside files are kept. Default 5. */
  readonly keep?: number;
}

export interface LogFile {
  /** Appends a line. A failure to write is told on standard error once, then logging goes on. */
  write(line: string): void;
  /** The next line goes to a file of that name as it is then: another program set the old one aside. */
  reopen(): void;
  close(): void;
}

/** Opens the file for appending, for its owner's eyes only. @throws UserError when it cannot. */
export function openLogFile(options: LogFileOptions): LogFile {
  const { path, maxBytes = 10 * 1024 * 1024, keep = 5 } = options;
  const open = (): { fd: number; size: number } => {
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(path, 'a', 0o600);
    return { fd, size: fstatSync(fd).size };
  };
  /** null while the file cannot be opened; the next line tries again. */
  let file: { fd: number; size: number } | null;
  try {
    file = open();
  } catch (error) {
    throw new UserError(`Cannot write the log file ${path}: ${errorMessage(error)}`, {
      hint: 'Set another path in [logging.file], or make the folder writable.',
      cause: error,
    });
  }
  let hasComplained = false;

  const rotate = (fd: number): { fd: number; size: number } => {
    // Forgotten before anything can fail: the number of a closed file may soon be a socket's.
    file = null;
    closeSync(fd);
    for (let n = keep - 1; n >= 1; n--) {
      renameIfThere(`${path}.${n}`, `${path}.${n + 1}`);
    }
    if (keep > 0) renameIfThere(path, `${path}.1`);
    else truncateSync(path);
    return open();
  };

  const close = (): void => {
    const open = file;
    file = null;
    if (open) closeSync(open.fd);
  };

  return {
    write(line) {
      try {
        const bytes = Buffer.from(line);
        file ??= open();
        if (file.size > 0 && file.size + bytes.length > maxBytes) file = rotate(file.fd);
        writeSync(file.fd, bytes);
        file.size += bytes.length;
      } catch (error) {
        if (hasComplained) return;
        hasComplained = true;
        process.stderr.write(`Cannot write the log file ${path}: ${errorMessage(error)}\n`);
      }
    },
    reopen: close,
    close,
  };
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
