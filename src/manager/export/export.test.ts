/** Exports as superadmins get them: columns, filters, orders, and streams that clients leave. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import iconv from 'iconv-lite';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { signedHeaders, signingClient } from '../../testing/manager.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { until } from '../../testing/until.ts';
import { exportBody } from './filter.ts';
import { sessions } from './report-store.ts';
import { ExportLoad, exportCsv, type OwnedRows } from './service.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  const projectId = await insertProject(sql);
  await insertAgent(sql, 'i-one');
  const common = { projectId, agentId: 'i-one', owner: tenants.people.user };
  await insertSession(sql, { ...common, name: 'first, "quoted"' });
  await insertSession(sql, { ...common, name: 'second', status: 'TERMINATED', type: 'BATCH' });
});
afterAll(() => tenants.close());

const as = (who: keyof Tenants['people']) => signingClient(tenants.url, tenants.people[who]);
const send = (key: string, body: unknown = {}) =>
  as('superadmin')('POST', `/export/${key}/csv`, body);

/** The lines of a report whose values hold no line breaks. */
async function linesOf(key: string, body: unknown = {}): Promise<string[]> {
  const response = await send(key, body);
  expect(response.status).toBe(200);
  const text = Buffer.from(await response.arrayBuffer()).toString('utf8');
  expect(text).toStartWith('\uFEFF');
  expect(text).toEndWith('\r\n');
  return text.slice(1, -2).split('\r\n');
}
async function slugOf(response: Response): Promise<string> {
  const { type } = v.parse(v.object({ type: v.string() }), await response.json());
  return `${response.status} ${type.slice(type.lastIndexOf('/') + 1)}`;
}
const reportsSchema = v.object({
  reports: v.array(
    v.looseObject({
      report_key: v.string(),
      fields: v.array(
        v.object({
          key: v.string(),
          name: v.string(),
          description: v.string(),
          field_type: v.string(),
        }),
      ),
    }),
  ),
});

describe('reports', () => {
  test('are listed with their fields, and every field of each can be exported', async () => {
    const listed = await as('superadmin')('GET', '/export/reports');
    const { reports } = v.parse(reportsSchema, await listed.json());
    expect(reports.map(({ report_key }) => report_key)).toEqual([
      ...['sessions', 'users', 'projects', 'keypairs', 'audit-logs'],
    ]);
    for (const { report_key: key, fields } of reports) {
      expect(new Set(fields.map((field) => field.key)).size).toBe(fields.length);
      const [head] = await linesOf(key);
      expect(head).toBe(fields.map(({ name }) => name).join(','));
      const one = await as('superadmin')('GET', `/export/reports/${key}`);
      expect(await one.json()).toEqual({ report: reports.find((r) => r.report_key === key) });
    }
    const none = await as('superadmin')('GET', '/export/reports/none');
    expect(await slugOf(none)).toBe('404 export-report-not-found');
  });

  test('are for superadmins only', async () => {
    for (const who of ['admin', 'user', 'monitor', 'otherAdmin', 'otherUser'] as const) {
      expect((await as(who)('GET', '/export/reports')).status).toBe(403);
      expect((await as(who)('GET', '/export/reports/users')).status).toBe(403);
      for (const key of ['users', 'sessions', 'projects', 'keypairs', 'audit-logs']) {
        expect((await as(who)('POST', `/export/${key}/csv`, {})).status).toBe(403);
      }
    }
  });

  test('no secret is in any of them', async () => {
    await tenants.db.sql`UPDATE users SET password = 'hush-hash', totp_key = 'hush-key'`;
    for (const key of ['users', 'sessions', 'projects', 'keypairs', 'audit-logs']) {
      const text = (await linesOf(key)).join('\n');
      expect(text).not.toContain('hush');
      for (const { secretKey } of Object.values(tenants.people)) {
        expect(text).not.toContain(secretKey);
      }
    }
  });
});

describe('a file', () => {
  test('has the wanted columns in their order, quoted where needed', async () => {
    const lines = await linesOf('sessions', {
      fields: ['name', 'resource_requested', 'user_email', 'project_is_active', 'cluster_size'],
      order: [{ field: 'name' }],
    });
    const slots = '"{""cpu"":""1"",""mem"":""268435456""}"';
    const rest = `${slots},user@test.example,True,1`;
    expect(lines).toEqual([
      'Name,Resources Requested,User Email,Project Active,Cluster Size',
      `"first, ""quoted""",${rest}`,
      `second,${rest}`,
    ]);
  });

  test('times are ISO-8601, nothing is empty, and rows repeat for related ones', async () => {
    const lines = await linesOf('users', {
      fields: ['email', 'created_at', 'full_name', 'project_name'],
      filter: { email: { equals: 'user@test.example' } },
    });
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatch(/^user@test\.example,20\d\d-\d\d-\d\dT[\d:]+\.\d{6}\+00:00,,work$/);
  });

  test('registries of a project: global ones and those it may use', async () => {
    const { sql } = tenants.db;
    const own = crypto.randomUUID();
    await sql`INSERT INTO container_registries (id, url, registry_name, type, is_global) VALUES
      (${own}, 'https://own.example', 'own.example', 'docker', false),
      (${crypto.randomUUID()}, 'https://all.example', 'all.example', 'docker', true),
      (${crypto.randomUUID()}, 'https://no.example', 'no.example', 'docker', false)`;
    await sql`INSERT INTO association_container_registries_groups (registry_id, group_id)
      VALUES (${own}, ${tenants.projects.elsewhere})`;
    const lines = await linesOf('projects', {
      fields: ['domain_name', 'container_registry_name'],
      filter: { name: { equals: 'work' }, domain_name: { equals: 'elsewhere' } },
    });
    expect(lines.slice(1).sort()).toEqual(['elsewhere,all.example', 'elsewhere,own.example']);
  });

  test('text that a spreadsheet would run is made harmless', async () => {
    await tenants.db.sql`UPDATE users SET full_name = '=cmd|calc' WHERE username = 'user'`;
    const lines = await linesOf('users', {
      fields: ['full_name'],
      filter: { username: { equals: 'user' } },
    });
    expect(lines[1]).toBe("'=cmd|calc");
  });

  test('in another encoding it has no mark; unknown ones are refused', async () => {
    await tenants.db.sql`UPDATE users SET full_name = '홍길동' WHERE username = 'admin'`;
    const response = await send('users', {
      fields: ['full_name'],
      filter: { username: { equals: 'admin' } },
      encoding: 'euc-kr',
    });
    expect(response.headers.get('content-type')).toBe('text/csv; charset=euc-kr');
    const text = iconv.decode(Buffer.from(await response.arrayBuffer()), 'euc-kr');
    expect(text).toBe('Full Name\r\n홍길동\r\n');
    for (const encoding of ['klingon', 'base64', 'utf-8\r\nX-Evil: 1', '']) {
      expect((await send('users', { encoding })).status).toBe(400);
    }
  });

  test('is named by time or as the client wishes', async () => {
    const nameOf = (response: Response) => response.headers.get('content-disposition');
    expect(nameOf(await send('audit-logs'))).toMatch(
      /^attachment; filename="audit-logs-\d{14}\.csv"$/,
    );
    const method = 'POST';
    const target = '/export/users/csv';
    const response = await fetch(`${tenants.url}${target}`, {
      method,
      headers: {
        ...signedHeaders(tenants.people.superadmin, {
          method,
          target,
          host: new URL(tenants.url).host,
          contentType: 'application/json',
        }),
        'X-Export-Filename': 'my "users".csv',
      },
      body: '{}',
    });
    expect(nameOf(response)).toBe('attachment; filename="my _users_.csv"');
    await response.body?.cancel();
  });
});

describe('filters and orders', () => {
  const namesOf = async (body: Record<string, unknown>) =>
    (
      await linesOf('users', { fields: ['username'], order: [{ field: 'username' }], ...body })
    ).slice(1);

  test.each([
    [{ username: { equals: 'user' } }, ['user']],
    [{ username: { i_equals: 'OTHERUSER' } }, ['otherUser']],
    [{ username: { starts_with: 'other' } }, ['otherAdmin', 'otherUser']],
    [{ username: { i_ends_with: 'ADMIN' } }, ['admin', 'otherAdmin', 'superadmin']],
    [{ username: { contains: '%' } }, []],
    [{ username: { contains: "' OR true --" } }, []],
    [{ username: { in: ['user', 'admin'] } }, ['admin', 'user']],
    [{ username: { not_in: ['user'], i_not_contains: 'ADMIN' } }, ['monitor', 'otherUser']],
    [{ role: ['ADMIN'] }, ['admin', 'otherAdmin']],
    [{ status: ['inactive'] }, []],
    [{ domain_name: { equals: 'elsewhere' }, role: ['user'] }, ['otherUser']],
    [{ created_at: { before: '2001-01-01T00:00:00Z' } }, []],
    [{ created_at: { after: '2001-01-01T00:00:00+09:00' }, role: ['monitor'] }, ['monitor']],
    [{ created_at: { after: '2001-01-01T00:00:00' }, role: ['monitor'] }, ['monitor']],
    [{ username: null, role: null }, 6],
  ])('%j', async (filter, expected) => {
    const names = await namesOf({ filter });
    if (typeof expected === 'number') expect(names).toHaveLength(expected);
    else expect(names.sort()).toEqual(expected);
  });

  test('the order goes both ways, by several fields', async () => {
    const order = [{ field: 'domain_name', direction: 'DESC' }, { field: 'username' }];
    const names = await namesOf({ order, filter: { username: { i_contains: 'user' } } });
    expect(names).toEqual(['otherUser', 'superadmin', 'user'].filter((name) => /user/i.test(name)));
  });

  test('sessions by their states', async () => {
    const body = { fields: ['name'], filter: { status: ['terminated'], session_type: ['batch'] } };
    expect(await linesOf('sessions', body)).toEqual(['Name', 'second']);
    const running = {
      fields: ['name'],
      filter: { terminated_at: { after: '2001-01-01T00:00:00Z' } },
    };
    expect(await linesOf('sessions', running)).toEqual(['Name']);
  });

  test.each([
    [{ fields: ['password'] }, '400 invalid-export-field-keys'],
    [{ fields: ['uuid; DROP TABLE users'] }, '400 invalid-export-field-keys'],
    [{ filter: { username: { like: 'x' } } }, '400 generic-bad-request'],
    [{ filter: { username: { equals: 'a\u0000' } } }, '400 generic-bad-request'],
    [{ filter: { username: { in: 'x' } } }, '400 generic-bad-request'],
    [{ filter: { created_at: { after: 'soon' } } }, '400 generic-bad-request'],
    [{ filter: { created_at: { after: '0000-01-01T00:00:00Z' } } }, '400 generic-bad-request'],
    [
      { filter: { created_at: { before: '9999-12-31T23:59:59-20:00' } } },
      '400 generic-bad-request',
    ],
    [{ order: [{ field: 'password' }] }, '400 generic-bad-request'],
    [{ order: [{ field: 'username', direction: 'UP' }] }, '400 generic-bad-request'],
  ])('%j is refused', async (body, expected) => {
    expect(await slugOf(await send('users', body))).toBe(expected);
  });
});

describe('a long export', () => {
  beforeAll(async () => {
    await tenants.db.sql`
      INSERT INTO audit_logs (entity_type, operation, entity_id, action_id, description, status)
      SELECT 'thing', 'update', n::text, uuid_generate_v4(), repeat('x', 500), 'success'
        FROM generate_series(1, 30000) n`;
  });
  /** Connections that hold a cursor open. */
  const openCursors = async () => {
    const [row] = await tenants.db.sql`
      SELECT count(*)::int AS count FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()
         AND query LIKE '%FROM audit_logs a%' AND state <> 'idle'`;
    return row?.count;
  };

  /** A client that takes the beginning of an export and then reads no further. */
  async function startReading(): Promise<Socket> {
    const method = 'POST';
    const target = '/export/audit-logs/csv';
    const { host, hostname, port } = new URL(tenants.url);
    const headers = {
      Host: host,
      'Content-Length': '2',
      ...signedHeaders(tenants.people.superadmin, {
        method,
        target,
        host,
        contentType: 'application/json',
      }),
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const socket = connect(Number(port), hostname);
    socket.write(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n{}`);
    const [beginning] = await once(socket, 'data');
    socket.pause();
    expect(String(beginning)).toStartWith('HTTP/1.1 200');
    return socket;
  }

  test('comes whole', async () => {
    expect(
      await linesOf('audit-logs', { filter: { entity_type: { equals: 'thing' } } }),
    ).toHaveLength(30_001);
  });

  test('has a mark at its beginning only, in an encoding that has one', async () => {
    const response = await send('audit-logs', { encoding: 'utf-16', fields: ['entity_type'] });
    const text = iconv.decode(Buffer.from(await response.arrayBuffer()), 'utf-16');
    expect(text).toStartWith('Entity Type\r\n');
    expect(text).toEndWith('thing\r\n');
    expect(text.split('\uFEFF')).toHaveLength(1);
  });

  test('a client that goes away ends it; too many at a time are refused', async () => {
    const running = await Promise.all(Array.from({ length: 8 }, startReading));
    expect(await slugOf(await send('audit-logs'))).toBe('503 too-many-concurrent-exports');
    for (const socket of running) socket.destroy();
    await until(async () => (await openCursors()) === 0, 'no cursor is open');
    await until(async () => {
      const response = await send('audit-logs', { fields: ['id'] });
      await response.body?.cancel();
      return response.status === 200;
    }, 'another export may begin');
    expect((await linesOf('users')).length).toBeGreaterThan(6);
  });
});

describe('the exports that anybody may begin', () => {
  const load = new ExportLoad();
  const owned = (userId: string) => ({ owner: { kind: 'user', id: userId }, userId }) as const;
  const begin = (by: OwnedRows | null = null) =>
    exportCsv(tenants.db, sessions, v.parse(exportBody(sessions), {}), load, by);
  const refusal = (by: OwnedRows | null = null) =>
    begin(by).then(
      () => null,
      (error) => (error instanceof BackendError ? error.message : String(error)),
    );

  test('leave room for other people and for superadmins, and make room when they end', async () => {
    const [one, two, three, four] = Array.from({ length: 4 }, () => crypto.randomUUID());
    if (!one || !two || !three || !four) throw new Error('no ids');
    const running = [await begin(owned(one)), await begin(owned(one))];
    expect(await refusal(owned(one))).toStartWith('2 exports of yours are running.');
    for (const who of [two, two, three, three]) running.push(await begin(owned(who)));
    expect(await refusal(owned(four))).toStartWith('6 exports of people are running.');
    running.push(await begin(), await begin());
    expect(await refusal()).toStartWith('8 exports are running.');
    const [first, ...others] = running;
    await first?.cancel();
    const again = await begin(owned(four));
    expect(await new Response(again).text()).toStartWith('ID,Name,');
    for (const stream of others) await stream.cancel();
    const later = await Promise.all([begin(owned(one)), begin(owned(one))]);
    for (const stream of later) await stream.cancel();
  });
});

describe('newer exports', () => {
  const rowsOf = async (who: keyof Tenants['people'], path: string, body: unknown = {}) => {
    const response = await as(who)('POST', `/v2/export/${path}/csv`, body);
    const text = await response.text();
    return response.status === 200 ? text.trim().split('\r\n').slice(1) : response.status;
  };

  test('superadmins get reports and all rows', async () => {
    const told = await as('superadmin')('GET', '/v2/export/reports/users');
    expect(await told.json()).toMatchObject({ report: { report_key: 'users' } });
    const body = { fields: ['name'], filter: { user: { email: { equals: 'nobody' } } } };
    expect(await rowsOf('superadmin', 'sessions', body)).toEqual([]);
    const { email } = tenants.people.user;
    const own = { fields: ['name'], filter: { user: { email: { equals: email } } } };
    expect(await rowsOf('superadmin', 'sessions', own)).toContain('second');
    expect(await rowsOf('admin', 'sessions', own)).toBe(403);
  });

  test('everybody gets the rows of its own, without fields about the cluster', async () => {
    const fields = ['name', 'user_email'];
    const { email, accessKey } = tenants.people.user;
    expect(await rowsOf('user', 'sessions/my', { fields })).toContain(`second,${email}`);
    expect(await rowsOf('otherUser', 'sessions/my', { fields })).toEqual([]);
    // A filter narrows what is one's own, and never widens it.
    const filter = { user: { email: { equals: email } } };
    expect(await rowsOf('otherUser', 'sessions/my', { fields, filter })).toEqual([]);
    expect(await rowsOf('user', 'sessions/my', { fields: ['kernel_agent'] })).toBe(400);
    expect(await rowsOf('user', 'keypairs/my', { fields: ['access_key'] })).toEqual([accessKey]);
    expect(await rowsOf('user', 'keypairs/my', { fields: ['resource_group_wsproxy_addr'] })).toBe(
      400,
    );
  });

  test('a project’s sessions and a domain’s users are for those who read them there', async () => {
    const { default: project } = tenants.projects;
    await insertSession(tenants.db.sql, {
      ...{ projectId: project, agentId: 'i-one', owner: tenants.people.user, name: 'of-project' },
    });
    const ofProject = `sessions/projects/${project}`;
    const fields = ['name'];
    expect(await rowsOf('superadmin', ofProject, { fields })).toEqual(['of-project']);
    expect(await rowsOf('otherAdmin', ofProject, { fields })).toBe(403);
    const users = await rowsOf('admin', 'users/domains/default', { fields: ['username'] });
    expect(users).toContain('user');
    expect(users).not.toContain('otherUser');
    for (const who of ['user', 'otherAdmin', 'monitor'] as const) {
      expect(await rowsOf(who, 'users/domains/default')).toBe(403);
    }
  });
});
