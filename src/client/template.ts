/** Templates of sessions. */
import * as v from 'valibot';
import type { HttpClient } from './http.ts';

const template = v.object({
  id: v.string(),
  name: v.string(),
  created_at: v.nullable(v.string()),
  is_owner: v.boolean(),
  type: v.string(),
  user: v.nullable(v.string()),
  group: v.nullable(v.string()),
});
export type SessionTemplate = v.InferOutput<typeof template>;

/** Where templates belong; undefined fields are the server's choice. */
export interface TemplatePlace {
  readonly domain?: string;
  readonly group?: string;
  /** Acts for another keypair; administrators only. */
  readonly ownerAccessKey?: string;
}

const done = v.object({ success: v.boolean() });
const pathOf = (id: string) => `/template/session/${encodeURIComponent(id)}`;

export class TemplateApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /** Stores the templates of a text in JSON or YAML. @returns their ids. */
  async create(payload: string, place: TemplatePlace): Promise<string[]> {
    const created = await this.http.json(v.array(v.object({ id: v.string() })), {
      method: 'POST',
      path: '/template/session',
      body: {
        payload,
        group_name: place.group,
        domain_name: place.domain,
        owner_access_key: place.ownerAccessKey,
      },
    });
    return created.map(({ id }) => id);
  }

  /** @param all everybody's, for superadmins. */
  list(all: boolean): Promise<SessionTemplate[]> {
    const query = { all: String(all) };
    return this.http.json(v.array(template), { method: 'GET', path: '/template/session', query });
  }

  /** A template with its name, owner, project and domain. */
  get(id: string, ownerAccessKey?: string): Promise<Record<string, unknown>> {
    return this.http.json(v.record(v.string(), v.unknown()), {
      method: 'GET',
      path: pathOf(id),
      query: { owner_access_key: ownerAccessKey },
    });
  }

  async update(id: string, payload: string, ownerAccessKey?: string): Promise<void> {
    const body = { payload, owner_access_key: ownerAccessKey };
    await this.http.json(done, { method: 'PUT', path: pathOf(id), body });
  }

  async delete(id: string, ownerAccessKey?: string): Promise<void> {
    const query = { owner_access_key: ownerAccessKey };
    await this.http.json(done, { method: 'DELETE', path: pathOf(id), query });
  }
}
