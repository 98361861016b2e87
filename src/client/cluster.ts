/** Operations on the cluster as a whole: status, announcement, configuration, resource slots. */
import * as v from 'valibot';
import type { HttpClient } from './http.ts';

const status = v.object({
  status: v.string(),
  active_sessions: v.number(),
  nodes: v.optional(v.array(v.record(v.string(), v.unknown())), []),
});
const announcement = v.object({
  enabled: v.optional(v.boolean(), false),
  message: v.optional(v.nullable(v.string()), null),
});
const configValue = v.object({ result: v.optional(v.unknown(), null) });
const texts = v.record(v.string(), v.string());
const permissions = v.object({ vfolder_host_permission_list: v.array(v.string()) });
const resourceGroups = v.object({ scaling_groups: v.array(v.object({ name: v.string() })) });

export type ClusterStatus = v.InferOutput<typeof status>;
export type Announcement = v.InferOutput<typeof announcement>;

export class ClusterApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  status(): Promise<ClusterStatus> {
    return this.http.json(status, { method: 'GET', path: '/manager/status' });
  }

  /** Superadmins. `endSessions` also ends every session. */
  async setStatus(word: 'running' | 'frozen', endSessions = false): Promise<void> {
    const body = { status: word, ...(endSessions ? { force_kill: true } : {}) };
    await this.http.done({ method: 'PUT', path: '/manager/status', body });
  }

  announcement(limits: { timeoutMs?: number } = {}): Promise<Announcement> {
    return this.http.json(announcement, {
      method: 'GET',
      path: '/manager/announcement',
      ...limits,
    });
  }

  /** Superadmins. A message of null keeps the stored one. */
  async setAnnouncement(body: { enabled: boolean; message: string | null }): Promise<void> {
    await this.http.done({ method: 'POST', path: '/manager/announcement', body });
  }

  /** Superadmins. A value; with `prefix` a tree of everything at and below the key; null: none. */
  async getConfig(key: string, prefix: boolean): Promise<unknown> {
    const request = { method: 'POST', path: '/config/get', body: { key, prefix } } as const;
    return (await this.http.json(configValue, request)).result;
  }

  /** Superadmins. An object is stored as a tree of keys. */
  async setConfig(key: string, value: unknown): Promise<void> {
    await this.http.done({ method: 'POST', path: '/config/set', body: { key, value } });
  }

  /** Superadmins. */
  async deleteConfig(key: string, prefix: boolean): Promise<void> {
    await this.http.done({ method: 'POST', path: '/config/delete', body: { key, prefix } });
  }

  /** The kinds of resources and their units: `count`, `bytes`, … */
  resourceSlots(): Promise<Record<string, string>> {
    return this.http.json(texts, { method: 'GET', path: '/config/resource-slots' });
  }

  /** Kinds of owners that folders may have: `user`, `group`. */
  folderTypes(): Promise<string[]> {
    return this.http.json(v.array(v.string()), { method: 'GET', path: '/config/vfolder-types' });
  }

  /** Superadmins. Addresses of container registries by `project/name`. */
  containerRegistries(): Promise<Record<string, string>> {
    return this.http.json(texts, { method: 'GET', path: '/resource/container-registries' });
  }

  /** Superadmins. Lets agents take new sessions, or no more. */
  async setSchedulable(agentIds: readonly string[], schedulable: boolean): Promise<void> {
    const op = schedulable ? 'include-agents' : 'exclude-agents';
    const body = { op, args: agentIds };
    await this.http.done({ method: 'POST', path: '/manager/scheduler/operation', body });
  }

  /** What can be allowed on a folder host. */
  async hostPermissions(): Promise<string[]> {
    const request = { method: 'GET', path: '/acl' } as const;
    return (await this.http.json(permissions, request)).vfolder_host_permission_list;
  }

  /** Names of the resource groups that the caller may use in a project (name or id). */
  async availableResourceGroups(project: string): Promise<{ name: string }[]> {
    const request = { method: 'GET', path: '/scaling-groups', query: { group: project } } as const;
    return (await this.http.json(resourceGroups, request)).scaling_groups;
  }
}
