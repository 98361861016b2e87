/** Dotfiles: small files that sessions start with, of an account, a project or a domain. */
import * as v from 'valibot';
import type { ApiRequest, HttpClient } from './http.ts';

const dotfile = v.object({
  path: v.string(),
  data: v.string(),
  /** Three octal digits; the server names it differently in a list. */
  permission: v.optional(v.string()),
  perm: v.optional(v.string()),
});

export interface Dotfile {
  readonly path: string;
  readonly data: string;
  /** Three octal digits, e.g. 644. */
  readonly permission: string;
}

/** Whose dotfiles: a project's (with its domain), a domain's, else an account's. */
export interface DotfileHolder {
  readonly ownerAccessKey?: string;
  readonly domain?: string;
  readonly group?: string;
}

const plain = ({ path, data, permission, perm }: v.InferOutput<typeof dotfile>): Dotfile => ({
  path,
  data,
  permission: permission ?? perm ?? '',
});

type Fields = Readonly<Record<string, string | undefined>>;

function placeOf({ ownerAccessKey, domain, group }: DotfileHolder): [path: string, Fields] {
  if (group !== undefined) return ['/group-config/dotfiles', { group, domain }];
  if (domain !== undefined) return ['/domain-config/dotfiles', { domain }];
  return ['/user-config/dotfiles', { owner_access_key: ownerAccessKey }];
}

export class DotfileApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  async list(holder: DotfileHolder): Promise<Dotfile[]> {
    const [path, query] = placeOf(holder);
    return (await this.http.json(v.array(dotfile), { method: 'GET', path, query })).map(plain);
  }

  async get(name: string, holder: DotfileHolder): Promise<Dotfile> {
    const [path, query] = placeOf(holder);
    const request: ApiRequest = { method: 'GET', path, query: { path: name, ...query } };
    return plain(await this.http.json(dotfile, request));
  }

  create(file: Dotfile, holder: DotfileHolder): Promise<void> {
    return this.write('POST', file, holder);
  }

  update(file: Dotfile, holder: DotfileHolder): Promise<void> {
    return this.write('PATCH', file, holder);
  }

  async delete(name: string, holder: DotfileHolder): Promise<void> {
    const [path, query] = placeOf(holder);
    await this.http.done({ method: 'DELETE', path, query: { path: name, ...query } });
  }

  private async write(method: 'POST' | 'PATCH', file: Dotfile, holder: DotfileHolder) {
    const [path, fields] = placeOf(holder);
    await this.http.done({ method, path, body: { ...file, ...fields } });
  }
}
