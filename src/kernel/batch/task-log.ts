/** The file that keeps a batch run's output after the session: `.logs/task/xx/yy/rest.log`. */
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const KERNEL_ID = /^[0-9a-f]{32}$/;

/** Where the log of a kernel lies below the working folder; null for an ill-formed id. */
export function taskLogPath(workFolder: string, kernelId: string): string | null {
  const hex = kernelId.replaceAll('-', '').toLowerCase();
  if (!KERNEL_ID.test(hex)) return null;
  const name = `${hex.slice(4)}.log`;
  return join(workFolder, '.logs', 'task', hex.slice(0, 2), hex.slice(2, 4), name);
}

/** A log being written; a log that cannot be written stops being written, with one complaint. */
export class TaskLog {
  private readonly file: FileHandle;
  private problem: string | null = null;

  static async open(path: string): Promise<TaskLog> {
    await mkdir(dirname(path), { recursive: true });
    return new TaskLog(await open(path, 'a'));
  }

  private constructor(file: FileHandle) {
    this.file = file;
  }

  /** @returns a complaint the first time that writing fails, else null. */
  async write(chunk: Uint8Array): Promise<string | null> {
    if (this.problem !== null) return null;
    try {
      await this.file.appendFile(chunk);
      return null;
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
      return this.problem;
    }
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}
