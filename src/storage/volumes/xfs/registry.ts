/**
 * Which XFS project belongs to which quota scope: /etc/projects and /etc/projid, where administrators
 * and `xfs_quota report` find names. Other proxies of this machine, and upstream's, change the same
 * files; so they are changed under a lock and replaced as a whole.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../../common/errors.ts';
import { StorageError } from '../../problems.ts';
import type { ProjectFiles } from '../../settings.ts';
import { asRoot, runTool } from '../tools.ts';

/** How long another proxy may keep the files. Seconds. */
const LOCK_WAIT_S = 30;
/** Comes back once the lock is held. */
const LOCK_MARK = 'held\n';

interface Lines {
  readonly projects: readonly string[];
  readonly projid: readonly string[];
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** A reader sees the old file or the new one, also after a power cut. */
const REPLACE = `
set -e
awk -v lines="$3" -v first="$1.new" -v second="$2.new" \\
  'NR <= lines { print > first; next } { print > second }'
chmod 644 "$1.new" "$2.new"; sync "$1.new" "$2.new"
mv -f "$1.new" "$1"; mv -f "$2.new" "$2"`;

/** `id:path` */
const idOfProject = (line: string): number => Number.parseInt(line, 10);
/** `name:id` */
const idOfName = (line: string): number => Number(line.slice(line.lastIndexOf(':') + 1));

export class ProjectRegistry {
  readonly projectsFile: string;
  readonly projidFile: string;
  readonly #lockFile: string;

  constructor({ folder, lockFile }: ProjectFiles) {
    this.projectsFile = join(folder, 'projects');
    this.projidFile = join(folder, 'projid');
    this.#lockFile = lockFile;
  }

  /**
   * Runs `action` while no other process changes the registry. The lock is a child's, which ends with
   * this process however it ends.
   * @throws StorageError QuotaCommandFailed when another process keeps the lock for half a minute.
   */
  async exclusively<T>(action: () => Promise<T>): Promise<T> {
    const hold = ['flock', '-F', '-w', `${LOCK_WAIT_S}`, this.#lockFile, 'cat'];
    const holder = Bun.spawn(asRoot(hold), {
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    try {
      holder.stdin.write(LOCK_MARK);
      await holder.stdin.flush();
      const { value } = await holder.stdout.getReader().read();
      if (value === undefined) {
        const complaint = (await new Response(holder.stderr).text()).trim();
        throw new StorageError(
          'QuotaCommandFailed',
          `Can't lock ${this.#lockFile}: ${complaint || 'another process keeps it'}. Try again, or end that one.`,
        );
      }
      return await action();
    } finally {
      await holder.stdin.end();
      await holder.exited;
    }
  }

  async #replace({ projects, projid }: Lines): Promise<void> {
    const files = [this.projectsFile, this.projidFile, `${projects.length}`];
    await runTool(asRoot(['sh', '-c', REPLACE, 'sh', ...files]), {
      stdin: `${[...projects, ...projid].join('\n')}\n`,
    });
  }

  async #read(): Promise<Lines> {
    const [projects, projid] = await Promise.all([
      linesOf(this.projectsFile),
      linesOf(this.projidFile),
    ]);
    return { projects, projid };
  }

  /**
   * Gives the project `name` an id and notes it. One that was noted for the same path before keeps its
   * id, as after a crash. To be called while the registry is held.
   * @param taken ids that the file system knows, noted or not.
   */
  async register(name: string, path: string, taken: ReadonlySet<number>): Promise<number> {
    const lines = await this.#read();
    const noted = lines.projid.find((line) => line.startsWith(`${name}:`));
    if (noted && lines.projects.includes(`${idOfName(noted)}:${path}`)) return idOfName(noted);
    const used = new Set([
      ...taken,
      ...lines.projects.map(idOfProject),
      ...lines.projid.map(idOfName),
    ]);
    let id = 1;
    while (used.has(id)) id += 1;
    const projects = lines.projects.filter((line) => !line.endsWith(`:${path}`));
    const projid = lines.projid.filter((line) => !line.startsWith(`${name}:`));
    await this.#replace({
      projects: [...projects, `${id}:${path}`],
      projid: [...projid, `${name}:${id}`],
    });
    return id;
  }
}
