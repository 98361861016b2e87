/**
 * Rows of every kind for the people of two tenants, and by which names operations ask for them. A
 * feature with rows of its own adds them here, so that the tests of who may do what meet them.
 */
import type { Sql } from 'postgres';
import { globalId } from '../manager/graphql/global-id.ts';
import { HOST, type TestFolders } from './folders.ts';
import type { TestAccount } from './manager.ts';
import { insertAgent, insertResourceGroup, insertSession } from './sessions.ts';

export const owners = ['user', 'admin', 'otherUser', 'otherAdmin'] as const;
export type Owner = (typeof owners)[number];

export const isOfOtherTenant = (owner: Owner): boolean => owner.startsWith('other');

/** What belongs to one person. */
export interface Belongings {
  /**
   * A parameter's value that names a row of this person or of its tenant, by the parameter's name; by
   * `/first-segment.parameter` or `operation.parameter` where that name alone says too little. Null
   * takes an operation out.
   */
  readonly named: Readonly<Record<string, string | null>>;
  /** Texts that appear only where rows of this person, or of its tenant, are shown. */
  readonly marks: { readonly person: readonly string[]; readonly tenant: readonly string[] };
}

const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** What a parameter names, looked up by the most telling name first; undefined when that is no row. */
export function rowNamed(
  { named }: Belongings,
  operation: string,
  parameter: string,
): string | undefined {
  const segment = /\/[^/]*/.exec(operation)?.[0] ?? '';
  const names = [
    `${operation}.${parameter}`,
    `${segment}.${parameter}`,
    parameter,
    snakeCase(parameter),
  ];
  const found = names.find((name) => named[name] !== undefined);
  return found === undefined ? undefined : (named[found] ?? undefined);
}

/** All marks of people in a text, also where an id is hidden in the global id of a node. */
export function marksIn(rows: TenantRows, text: string): string[] {
  const hidden = (text.match(/[\w+/-]{16,}={0,2}/g) ?? []).map((id) => Buffer.from(id, 'base64'));
  const all = [text, ...hidden.map(String)].join('\n');
  const marks = owners.flatMap((owner) => [
    ...rows[owner].marks.person,
    ...rows[owner].marks.tenant,
  ]);
  return [...new Set(marks)].filter((mark) => all.includes(mark));
}

export type TenantRows = Readonly<Record<Owner, Belongings>>;

async function insertErrorLog(sql: Sql, userId: string, message: string): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    INSERT INTO error_logs (severity, source, "user", is_read, is_cleared, message, context_lang,
                            context_env)
    VALUES ('error', 'test', ${userId}, false, false, ${message}, 'python', '{}')
    RETURNING id`;
  return row?.id ?? '';
}

/** A sign-in that is open, and its entry in the history. */
async function insertSignIn(sql: Sql, person: TestAccount, domain: string): Promise<string> {
  await sql`INSERT INTO login_history (user_id, domain_name, result)
            VALUES (${person.userId}, ${domain}, 'success')`;
  const [row] = await sql<{ id: string }[]>`
    INSERT INTO login_sessions (session_token, user_id, access_key)
    VALUES (${`token-of-${person.accessKey}`}, ${person.userId}, ${person.accessKey})
    RETURNING id`;
  return row?.id ?? '';
}

async function insertInvitation(sql: Sql, folder: string, email: string): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    INSERT INTO vfolder_invitations (permission, inviter, invitee, state, vfolder)
    VALUES ('ro', ${email}, ${email}, 'pending', ${folder})
    RETURNING id`;
  return row?.id ?? '';
}

/** A template of a person, shared with no project. */
async function insertTemplate(
  sql: Sql,
  kind: 'TASK' | 'CLUSTER',
  owner: { person: TestAccount; domain: string; name: string },
): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    INSERT INTO session_templates (is_active, domain_name, user_uuid, type, name, template)
    VALUES (true, ${owner.domain}, ${owner.person.userId}, ${kind}, ${owner.name},
      '{"metadata": {"name": "python"}, "spec": {"session_type": "interactive",
        "kernel": {"image": "nothing", "environ": {}}}}')
    RETURNING id`;
  return row?.id ?? '';
}

/** A role, and that it is offered to somebody. */
async function insertOfferedRole(sql: Sql, person: TestAccount, name: string) {
  const role = crypto.randomUUID();
  const invitation = crypto.randomUUID();
  await sql`INSERT INTO roles (id, name, source) VALUES (${role}, ${name}, 'custom')`;
  await sql`INSERT INTO role_invitations (id, invitee_user_id, role_id)
            VALUES (${invitation}, ${person.userId}, ${role})`;
  return { role, invitation };
}

async function belongingsOf(tenants: TestFolders, owner: Owner): Promise<Belongings> {
  const { sql } = tenants.db;
  const person = tenants.people[owner];
  const domain = isOfOtherTenant(owner) ? 'elsewhere' : 'default';
  const project = tenants.projects[domain];
  const resourceGroup = isOfOtherTenant(owner) ? 'annex' : 'mainland';
  const agent = isOfOtherTenant(owner) ? 'i-south' : 'i-north';
  const session = await insertSession(sql, {
    name: `job-of-${owner}`,
    owner: person,
    projectId: project,
    agentId: 'i-shared',
    domainName: domain,
  });
  const taskId = await tenants.ctx.tasks.start(person, 'test', async () => `task-of-${owner}`);
  const folder = await tenants.make(owner, `folder-of-${owner}`);
  const invitation = await insertInvitation(sql, folder, person.email);
  const signIn = await insertSignIn(sql, person, domain);
  const offered = await insertOfferedRole(sql, person, `role-of-${owner}`);
  const trouble = `trouble-of-${owner}`;
  const logId = await insertErrorLog(sql, person.userId, trouble);
  const template = { person, domain, name: `template-of-${owner}` };
  const taskTemplate = await insertTemplate(sql, 'TASK', template);
  const clusterTemplate = await insertTemplate(sql, 'CLUSTER', template);
  return {
    named: {
      domain,
      domain_name: domain,
      'domain.name': domain,
      access_key: person.accessKey,
      owner_access_key: person.accessKey,
      email: person.email,
      user_id: person.userId,
      'create_keypair.user_id': person.email,
      gid: project,
      group: project,
      group_id: project,
      'group.id': project,
      'group_node.id': project,
      'user_node.id': person.userId,
      'domain_node.id': domain,
      'node.id': globalId('UserNode', person.userId),
      project_id: project,
      user_group: project,
      'groups_by_name.name': 'work',
      scaling_group: resourceGroup,
      session_id: session.sessionId,
      session_name: session.sessionId,
      'GET /session/_/match.id': session.sessionId,
      'compute_session.id': session.sessionId,
      'compute_container.id': session.kernelId,
      'compute_session_node.id': session.sessionId,
      'modify_compute_session.id': session.sessionId,
      'sessionV2.id': session.sessionId,
      'kernelV2.id': session.kernelId,
      kernel_id: session.kernelId,
      log_id: logId,
      template_id: taskTemplate,
      ...Object.fromEntries(
        ['GET', 'PUT', 'DELETE'].map((method) => [
          `${method} /template/cluster/:template_id.template_id`,
          clusterTemplate,
        ]),
      ),
      task_id: taskId,
      agent_id: agent,
      folder_host: HOST,
      folder_id: folder,
      vfolder: folder,
      vfolder_id: folder,
      inv_id: invitation,
      'POST /v2/role-invitations.role_id': offered.role,
      'POST /v2/role-invitations/roles/:role_id/search.role_id': offered.role,
      invitation_id: offered.invitation,
      'myRevokeLoginSession.sessionId': signIn,
      'adminRevokeLoginSession.sessionId': signIn,
      'POST /v2/login-sessions/my/revoke.session_id': signIn,
      '/folders.id': folder,
      '/folders.name': folder,
      // The name of a new one.
      'POST /folders.name': null,
      'POST /v2/sessions/enqueue.session_name': null,
      user_email: person.email,
      owner_user_email: person.email,
      shared_user_uuid: person.userId,
    },
    marks: {
      person: [
        person.email,
        person.userId,
        person.accessKey,
        session.sessionId,
        session.kernelId,
        `job-of-${owner}`,
        trouble,
        logId,
        taskId,
        taskTemplate,
        clusterTemplate,
        taskTemplate.replaceAll('-', ''),
        clusterTemplate.replaceAll('-', ''),
        `template-of-${owner}`,
        folder,
        `folder-of-${owner}`,
        invitation,
        offered.role,
        offered.invitation,
        `role-of-${owner}`,
        signIn,
        `task-of-${owner}`,
      ],
      tenant: [project, resourceGroup, agent],
    },
  };
}

/** Inserts the rows. */
export async function insertTenantRows(tenants: TestFolders): Promise<TenantRows> {
  const { sql } = tenants.db;
  for (const name of ['default', 'mainland', 'annex']) await insertResourceGroup(sql, name);
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
            VALUES ('default', 'default'), ('default', 'elsewhere'), ('mainland', 'default'),
                   ('annex', 'elsewhere')`;
  await sql`UPDATE domains SET description =
              CASE name WHEN 'elsewhere' THEN 'annex' ELSE 'mainland' END`;
  await insertAgent(sql, 'i-shared');
  for (const [id, group] of [
    ['i-north', 'mainland'],
    ['i-south', 'annex'],
  ] as const) {
    await insertAgent(sql, id);
    await sql`UPDATE agents SET scaling_group = ${group} WHERE id = ${id}`;
  }
  const of = (owner: Owner) => belongingsOf(tenants, owner);
  return {
    user: await of('user'),
    admin: await of('admin'),
    otherUser: await of('otherUser'),
    otherAdmin: await of('otherAdmin'),
  };
}
