/** Folders: what their owners and guests do with them, and the operations on their files. */
import * as v from 'valibot';
import { isUuid } from '../common/ids.ts';
import { type ApiRequest, type HttpClient, parseJson, problemOf, readBody } from './http.ts';
import { FileTransfer } from './transfer.ts';

const hosts = v.object({ default: v.nullable(v.string()), allowed: v.array(v.string()) });
const folder = v.looseObject({
  id: v.string(),
  name: v.string(),
  host: v.string(),
  status: v.string(),
  permission: v.string(),
  is_owner: v.boolean(),
});
const identity = v.object({ id: v.string(), name: v.string() });
const file = v.looseObject({
  name: v.string(),
  type: v.string(),
  size: v.number(),
  mode: v.union([v.number(), v.string()]),
  modified: v.string(),
});
const filePage = v.object({ items: v.array(file), next: v.optional(v.nullable(v.string())) });
/** Pages of one directory that are asked for: a million entries with the server's usual limit. */
const MAX_PAGES = 1000;
/** How many entries upstream's storage proxies list by default, without telling of more. */
const LISTED_WITHOUT_PAGES = 1000;
const itemResult = v.object({ item: v.string(), msg: v.nullish(v.string(), null) });
const results = v.object({
  results: v.object({ success: v.array(itemResult), failed: v.array(itemResult) }),
});
const ticket = v.object({
  token: v.string(),
  url: v.string(),
  /** Of an upload: what is in the tar takes its places. Servers that can't do that leave it out. */
  unpacks: v.optional(v.boolean()),
});
const invitation = v.looseObject({
  id: v.string(),
  inviter: v.string(),
  invitee: v.string(),
  perm: v.string(),
  vfolder_name: v.string(),
});
const grant = v.looseObject({
  vfolder_id: v.string(),
  vfolder_name: v.string(),
  status: v.string(),
  owner: v.string(),
  type: v.string(),
  shared_to: v.object({ uuid: v.string(), email: v.string() }),
  perm: v.string(),
});
const cloned = v.looseObject({ id: v.string(), name: v.string(), bgtask_id: v.string() });
const metric = v.object({ data: v.record(v.string(), v.unknown()) });

export type Folder = v.InferOutput<typeof folder>;
export type FolderFile = v.InferOutput<typeof file>;
export type FolderInvitation = v.InferOutput<typeof invitation>;
export type FolderGrant = v.InferOutput<typeof grant>;
export type ItemResults = v.InferOutput<typeof results>['results'];
/** Leads to a storage proxy for one upload or download. */
const mountReport = v.object({
  success: v.boolean(),
  mounts: v.array(v.union([v.string(), v.array(v.string())])),
  message: v.string(),
});
const mountReports = v.object({
  manager: mountReport,
  storage_proxy: v.nullish(mountReport),
  agents: v.record(v.string(), mountReport),
});
export type MountReports = v.InferOutput<typeof mountReports>;

export interface MountWishes {
  /** Of the file system; NFS when absent. */
  readonly type?: string;
  /** As mount(8) takes them. */
  readonly options?: string;
  /** Whether nodes mount it when they start, too. */
  readonly editsFstab: boolean;
}

const bodyOf = ({ type, options, editsFstab }: MountWishes) => ({
  ...{ fs_type: type, options, edit_fstab: editsFstab },
});

const fstab = v.object({ content: v.string() });

export type FileTicket = v.InferOutput<typeof ticket>;

export interface NewFolder {
  readonly name: string;
  /** `proxy:volume`; null is the default one. */
  readonly host: string | null;
  readonly group?: string;
  readonly unmanagedPath?: string;
  readonly usageMode: string;
  readonly permission: string;
  readonly cloneable: boolean;
}

const HEX = /^[0-9a-f]{32}$/i;

export class FolderApi {
  /** Uploads and downloads. */
  readonly transfer: FileTransfer;
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
    this.transfer = new FileTransfer(http);
  }

  private post<S extends v.GenericSchema>(schema: S, path: string, body: object) {
    return this.http.json(schema, { method: 'POST', path: `/folders${path}`, body });
  }

  private get<S extends v.GenericSchema>(schema: S, path: string, query?: ApiRequest['query']) {
    return this.http.json(schema, { method: 'GET', path: `/folders${path}`, query });
  }

  private async act(method: ApiRequest['method'], path: string, body: object): Promise<void> {
    await this.http.done({ method, path: `/folders${path}`, body });
  }

  /** The folder's id, for its name or its id. @throws ApiError when it is unknown or ambiguous. */
  async idOf(nameOrId: string): Promise<string> {
    if (isUuid(nameOrId) || HEX.test(nameOrId)) return nameOrId;
    return (await this.get(identity, '/_/id', { name: nameOrId })).id;
  }

  hosts() {
    return this.get(hosts, '/_/hosts');
  }

  /** Superadmins. */
  allHosts() {
    return this.get(hosts, '/_/all-hosts');
  }

  allowedTypes(): Promise<string[]> {
    return this.get(v.array(v.string()), '/_/allowed-types');
  }

  create(wanted: NewFolder): Promise<Folder> {
    const { name, host, group, unmanagedPath, usageMode, permission, cloneable } = wanted;
    const body = { name, host, group, permission, cloneable };
    return this.post(folder, '', {
      ...body,
      unmanaged_path: unmanagedPath,
      usage_mode: usageMode,
    });
  }

  info(id: string): Promise<Folder> {
    return this.get(folder, `/${id}`);
  }

  rename(id: string, name: string): Promise<void> {
    return this.act('POST', `/${id}/rename`, { new_name: name });
  }

  updateOptions(id: string, options: { permission?: string; cloneable?: boolean }) {
    return this.act('POST', `/${id}/update-options`, options);
  }

  /** Moves it to the trash. */
  trash(id: string): Promise<void> {
    return this.act('DELETE', '', { id });
  }

  restore(id: string): Promise<void> {
    return this.act('POST', '/restore-from-trash-bin', { id });
  }

  /** Deletes one in the trash for good. */
  deleteForever(id: string): Promise<void> {
    return this.act('POST', '/delete-from-trash-bin', { id });
  }

  /** Administrators: forgets a deleted one. */
  purge(id: string): Promise<void> {
    return this.act('POST', '/purge', { id });
  }

  /** Begins a copy. @returns its id, and the background task that makes it. */
  clone(
    id: string,
    wanted: { name: string; host: string | null; usageMode: string; permission: string },
  ) {
    return this.post(cloned, `/${id}/clone`, {
      target_name: wanted.name,
      target_host: wanted.host,
      usage_mode: wanted.usageMode,
      permission: wanted.permission,
    });
  }

  /**
   * All entries of a directory, page by page.
   * @returns isWhole: false when the server has no pages, and may have left out some.
   */
  async files(id: string, path: string): Promise<{ items: FolderFile[]; isWhole: boolean }> {
    const items: FolderFile[] = [];
    let after: string | undefined;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const page = await this.get(filePage, `/${id}/files`, { path, after });
      items.push(...page.items);
      if (page.next === undefined) {
        return { items, isWhole: page.items.length < LISTED_WITHOUT_PAGES };
      }
      if (page.next === null) return { items, isWhole: true };
      after = page.next;
    }
    return { items, isWhole: false };
  }

  async mkdir(
    id: string,
    paths: readonly string[],
    options: { parents: boolean; existOk: boolean },
  ): Promise<ItemResults> {
    const { parents, existOk } = options;
    const body = { path: paths, parents, exist_ok: existOk };
    const path = `/folders/${id}/mkdir`;
    // When all fail the answer is an error that has the reasons all the same.
    const response = await this.http.exchange({ method: 'POST', path, body });
    const bytes = await readBody(response);
    const parsed = v.safeParse(results, parseJson(bytes));
    if (parsed.success) return parsed.output.results;
    throw problemOf(response, bytes);
  }

  renameFile(id: string, path: string, name: string): Promise<void> {
    return this.act('POST', `/${id}/rename-file`, { target_path: path, new_name: name });
  }

  moveFile(id: string, src: string, dst: string): Promise<void> {
    return this.act('POST', `/${id}/move-file`, { src, dst });
  }

  deleteFiles(id: string, files: readonly string[], recursive: boolean): Promise<void> {
    return this.act('POST', `/${id}/delete-files`, { files, recursive });
  }

  uploadTicket(id: string, path: string, size: number): Promise<FileTicket> {
    return this.post(ticket, `/${id}/request-upload`, { path, size });
  }

  /** For a tar whose files go below `path`. */
  unpackTicket(id: string, path: string, size: number): Promise<FileTicket> {
    return this.post(ticket, `/${id}/request-upload`, { path, size, unpack: true });
  }

  /** For files and directories as one archive. */
  archiveTicket(id: string, files: readonly string[]): Promise<FileTicket> {
    return this.post(ticket, `/${id}/request-download-archive`, { files });
  }

  downloadTicket(id: string, path: string): Promise<FileTicket> {
    return this.post(ticket, `/${id}/request-download`, { path });
  }

  async invite(id: string, emails: readonly string[], permission: string): Promise<string[]> {
    const answer = v.object({ invited_ids: v.array(v.string()) });
    return (await this.post(answer, `/${id}/invite`, { emails, permission })).invited_ids;
  }

  async invitations(): Promise<FolderInvitation[]> {
    const answer = v.object({ invitations: v.array(invitation) });
    return (await this.get(answer, '/invitations/list')).invitations;
  }

  acceptInvitation(id: string): Promise<void> {
    return this.act('POST', '/invitations/accept', { inv_id: id });
  }

  rejectInvitation(id: string): Promise<void> {
    return this.act('POST', '/invitations/delete', { inv_id: id });
  }

  leave(id: string, sharedUserId?: string): Promise<void> {
    return this.act('POST', `/${id}/leave`, { shared_user_uuid: sharedUserId ?? null });
  }

  async share(id: string, emails: readonly string[], permission: string): Promise<string[]> {
    const answer = v.object({ shared_emails: v.array(v.string()) });
    return (await this.post(answer, `/${id}/share`, { emails, permission })).shared_emails;
  }

  async unshare(id: string, emails: readonly string[]): Promise<string[]> {
    const answer = v.object({ unshared_emails: v.array(v.string()) });
    return (await this.post(answer, `/${id}/unshare`, { emails })).unshared_emails;
  }

  /** With whom folders are shared, or one of them is. */
  async shared(folderId?: string): Promise<FolderGrant[]> {
    const answer = v.object({ shared: v.array(grant) });
    return (await this.get(answer, '/_/shared', { vfolder_id: folderId })).shared;
  }

  /** Changes or, with null, takes away what a user may do. */
  setShared(folderId: string, userId: string, permission: string | null): Promise<void> {
    return this.act('POST', '/_/shared', { vfolder: folderId, user: userId, perm: permission });
  }

  /** Superadmins. */
  async performance(host: string): Promise<Record<string, unknown>> {
    return (await this.get(metric, '/_/perf-metric', { folder_host: host })).data;
  }

  /** Superadmins: what managers, storage proxies and agents have mounted. */
  mounts(): Promise<MountReports> {
    return this.get(mountReports, '/_/mounts');
  }

  /**
   * Superadmins: has agents mount a network file system. @returns how it went on each.
   * @param name of the mount point; `location` such as `server:/export`.
   */
  mount(name: string, location: string, wanted: MountWishes): Promise<MountReports> {
    const body = { name, fs_location: location, ...bodyOf(wanted) };
    return this.post(mountReports, '/_/mounts', body);
  }

  /** Superadmins: undoes that. */
  unmount(name: string, wanted: MountWishes): Promise<MountReports> {
    return this.post(mountReports, '/_/umounts', { name, ...bodyOf(wanted) });
  }

  /** Superadmins: what a node mounts when it starts; the manager's when no agent is named. */
  async fstab(agentId: string | undefined): Promise<string> {
    return (await this.get(fstab, '/_/fstab', { agent_id: agentId })).content;
  }

  /** Superadmins. */
  changeOwnership(folderId: string, email: string): Promise<void> {
    return this.act('POST', '/_/change-ownership', { vfolder: folderId, user_email: email });
  }
}
