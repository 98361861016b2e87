/**
 * The backend `xfs`: quota scopes are projects of an XFS that is mounted with `prjquota`. The kernel
 * counts and limits; which project a scope is says the scope's folder itself.
 */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/logger.ts';
import { StorageError } from '../../problems.ts';
import { MACHINE_PROJECTS, type VolumeSettings } from '../../settings.ts';
import { type QuotaKeeper, type QuotaUsage, SCOPE_NAME, type VolumeBackend } from '../backend.ts';
import { asRoot, runTool } from '../tools.ts';
import { projectOf } from './project-id.ts';
import { ProjectRegistry } from './registry.ts';

/** Gives every file of a folder to the project, which is slow where there are many already. */
const ADOPT_MS = 60 * 60_000;
const REPORT_BLOCK_BYTES = 1024;

const mountTable = v.object({ filesystems: v.tuple([v.object({ target: v.string() })]) });

class XfsProjects implements QuotaKeeper {
  readonly confines = false;
  readonly #volumePath: string;
  readonly #registry: ProjectRegistry;
  #mountPoint: string | null = null;

  constructor(volumePath: string, registry: ProjectRegistry) {
    this.#volumePath = volumePath;
    this.#registry = registry;
  }

  /** xfs_quota knows file systems by where they are mounted. */
  async #mount(): Promise<string> {
    if (this.#mountPoint === null) {
      const text = await runTool(['findmnt', '-J', '-o', 'TARGET', '-T', this.#volumePath]);
      const { filesystems } = v.parse(mountTable, JSON.parse(text));
      this.#mountPoint = filesystems[0].target;
    }
    return this.#mountPoint;
  }

  async #quota(command: string, timeoutMs?: number): Promise<string> {
    const { projectsFile, projidFile } = this.#registry;
    const files = ['-D', projectsFile, '-P', projidFile];
    const tool = asRoot(['xfs_quota', '-x', ...files, '-c', command, await this.#mount()]);
    return await runTool(tool, { timeoutMs });
  }

  /** What keeps quotas from being kept; null when nothing does. */
  async complaint(): Promise<string | null> {
    const state = await this.#quota('state -p');
    if (/Accounting: ON/.test(state) && /Enforcement: ON/.test(state)) return null;
    return `project quotas are off on ${await this.#mount()}`;
  }

  /** Ids that this file system counts for. */
  async #taken(): Promise<Set<number>> {
    const report = await this.#quota('report -p -b -N -n');
    return new Set([...report.matchAll(/^#(\d+)\s/gm)].map(([, id]) => Number(id)));
  }

  /** Scopes that are no projects yet: from before the volume had quotas, or before a crash. */
  async adoptAll(log: Logger): Promise<void> {
    const names = (await readdir(this.#volumePath)).filter((name) => SCOPE_NAME.test(name));
    for (const path of names.map((name) => join(this.#volumePath, name))) {
      if ((await projectOf(path)) !== null) continue;
      log.info('a quota scope becomes a project', { path });
      await this.#adopt(path);
    }
  }

  /** @returns the id of the project that the folder is from now on, with all that is in it. */
  async #adopt(path: string): Promise<number> {
    return await this.#registry.exclusively(async () => {
      const known = await projectOf(path);
      if (known !== null) return known;
      const id = await this.#registry.register(basename(path), path, await this.#taken());
      await this.#quota(`project -s -p ${path} ${id}`, ADOPT_MS);
      if ((await projectOf(path)) === id) return id;
      throw new StorageError('QuotaCommandFailed', `${path} did not become the project ${id}.`);
    });
  }

  async begin(_scope: unknown, path: string): Promise<void> {
    await this.#adopt(path);
  }

  async usage(_scope: unknown, path: string): Promise<QuotaUsage> {
    const id = await projectOf(path);
    if (id === null) return { usedBytes: null, limitBytes: null };
    const report = await this.#quota(`report -p -b -N -n -L ${id} -U ${id}`);
    // The kernel forgets a project that has nothing and no limit.
    if (report.trim() === '') return { usedBytes: 0, limitBytes: null };
    const [, used, , hard] = /^#\d+\s+(\d+)\s+(\d+)\s+(\d+)\s/.exec(report) ?? [];
    if (used === undefined || hard === undefined) {
      throw new StorageError('QuotaCommandFailed', `xfs_quota reported ${JSON.stringify(report)}.`);
    }
    return {
      usedBytes: Number(used) * REPORT_BLOCK_BYTES,
      limitBytes: hard === '0' ? null : Number(hard) * REPORT_BLOCK_BYTES,
    };
  }

  /** The kernel rounds up to whole blocks of the file system. */
  async setLimit(_scope: unknown, path: string, limitBytes: number): Promise<void> {
    const id = (await projectOf(path)) ?? (await this.#adopt(path));
    await this.#quota(`limit -p bsoft=${limitBytes} bhard=${limitBytes} ${id}`);
  }

  async unsetLimit(scope: unknown, path: string): Promise<void> {
    await this.setLimit(scope, path, 0);
  }
}

export function xfsBackend(
  { name, path, projects = MACHINE_PROJECTS }: Pick<VolumeSettings, 'name' | 'path' | 'projects'>,
  log: Logger,
): VolumeBackend {
  const quota = new XfsProjects(path, new ProjectRegistry(projects));
  return {
    name: 'xfs',
    quota,
    performance: null,
    capacity: null,
    folderUsage: null,
    copyTree: null,
    async start() {
      if (/\s/.test(path)) {
        throw new UserError(`The path of the volume ${name} has a space in it: ${path}`, {
          hint: 'xfs_quota takes no such path. Mount the file system elsewhere.',
        });
      }
      const complaint = await quota.complaint().catch(errorMessage);
      if (complaint !== null) {
        throw new UserError(`The volume ${name} cannot keep quotas: ${complaint}.`, {
          hint: `Its backend needs an XFS mounted with -o prjquota, the Debian package xfsprogs, and root or sudo without a password. Without these set backend = "vfs" in [volume.${name}].`,
        });
      }
      await quota.adoptAll(log);
    },
    async hardware() {
      try {
        const complaint = await quota.complaint();
        const status = complaint === null ? 'healthy' : 'degraded';
        return { status, statusInfo: complaint, metadata: {} };
      } catch (error) {
        return { status: 'unavailable', statusInfo: errorMessage(error), metadata: {} };
      }
    },
    async close() {},
  };
}
