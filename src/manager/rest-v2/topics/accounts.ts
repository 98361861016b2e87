/** Users, domains, projects and keypairs: who there is. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import {
  admin,
  type BodySchema,
  type Change,
  name,
  optional,
  type Topic,
  user,
} from '../declare.ts';

/** What the SDK leaves out of a new user because its models say it. */
const USER_DEFAULTS = {
  need_password_change: false,
  totp_activated: false,
  sudo_session_enabled: false,
};

const USERS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'users', mutation: 'adminCreateUserV2' },
    what: 'Make a user.',
    body: v.looseObject({ email: name, username: name, password: name }),
    given: (_params, body) => ({ input: { ...USER_DEFAULTS, ...body } }),
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'users/:user_id', mutation: 'adminUpdateUserV2' },
    what: 'Change a user.',
    body: v.looseObject({ username: optional, full_name: optional }),
    given: ({ user_id: userId }, input) => ({ userId, input }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'users/delete', mutation: 'adminDeleteUserV2' },
    what: 'Close the account of a user.',
    body: v.object({ user_id: uuidText }),
    given: (_params, { user_id: userId }) => ({ userId }),
  },
];

/** Domains and projects are made, changed, closed and removed alike. */
const owned = (
  kind: 'Domain' | 'Project',
  path: string,
  parameter: 'domain_name' | 'project_id',
  argument: 'domainName' | 'projectId',
  /** How bodies name it. */
  bodyKey: 'name' | 'group_id',
): Change[] => {
  const word = kind.toLowerCase();
  const named: BodySchema =
    bodyKey === 'name' ? v.object({ name }) : v.object({ group_id: uuidText });
  return [
    {
      ...{ ...admin, method: 'POST', path, mutation: `adminCreate${kind}V2` },
      what: `Make a ${word}.`,
      body: v.looseObject({ name, description: optional }),
    },
    {
      ...{ ...admin, method: 'PATCH', path: `${path}/:${parameter}` },
      mutation: `adminUpdate${kind}V2`,
      what: `Change a ${word}.`,
      body: v.looseObject({ name: optional, description: optional }),
      given: (params, input) => ({ [argument]: params[parameter], input }),
    },
    {
      ...{ ...admin, method: 'POST', path: `${path}/delete`, mutation: `adminDelete${kind}V2` },
      what: `Close a ${word}.`,
      body: named,
      given: (_params, body) => ({ [argument]: body[bodyKey] }),
    },
    {
      ...{ ...admin, method: 'POST', path: `${path}/purge`, mutation: `adminPurge${kind}V2` },
      what: `Remove a ${word}.`,
      body: named,
      given: (_params, body) => ({ [argument]: body[bodyKey] }),
    },
  ];
};

const MEMBERS: readonly Change[] = [
  {
    ...{ ...user, method: 'POST', path: 'projects/:project_id/users/unassign' },
    mutation: 'unassignUsersFromProjectV2',
    what: 'Take people out of a project.',
    body: v.object({ user_ids: v.pipe(v.array(uuidText), v.maxLength(1000)) }),
    given: ({ project_id: projectId }, input) => ({ projectId, input }),
  },
];

const byKey = v.object({ access_key: name });
const sshKey = v.pipe(v.string(), v.maxLength(32_768));

const KEYPAIRS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'keypairs', mutation: 'adminCreateKeypairV2' },
    what: 'Make a keypair.',
    body: v.looseObject({ user_id: uuidText, resource_policy: name }),
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'keypairs', mutation: 'adminUpdateKeypairV2' },
    what: 'Change a keypair.',
    body: v.looseObject({ access_key: name }),
  },
  {
    ...{ ...admin, method: 'DELETE', path: 'keypairs/:access_key' },
    mutation: 'adminDeleteKeypairV2',
    what: 'Remove a keypair.',
    given: ({ access_key: accessKey }) => ({ accessKey }),
  },
  {
    ...{ auth: 'user', method: 'POST', path: 'keypairs/my/issue', mutation: 'issueMyKeypair' },
    what: 'Make a keypair for yourself.',
    given: () => ({}),
  },
  {
    ...{ ...user, method: 'PATCH', path: 'keypairs/my', mutation: 'updateMyKeypair' },
    what: 'Switch a keypair of yours on or off.',
    body: v.object({ access_key: name, is_active: v.boolean() }),
  },
  {
    ...{ ...user, method: 'POST', path: 'keypairs/my/revoke', mutation: 'revokeMyKeypair' },
    what: 'Remove a keypair of yours.',
    body: byKey,
  },
  {
    ...{ ...user, method: 'POST', path: 'keypairs/my/switch-main' },
    mutation: 'switchMyMainAccessKey',
    what: 'Say which of your keypairs is the main one.',
    body: byKey,
  },
  {
    ...{ ...admin, method: 'POST', path: 'keypairs/ssh', mutation: 'adminRegisterSshKeypairV2' },
    what: 'Give a keypair an SSH key.',
    body: v.object({ access_key: name, ssh_public_key: sshKey, ssh_private_key: sshKey }),
  },
  {
    ...{ ...admin, method: 'DELETE', path: 'keypairs/:access_key/ssh' },
    mutation: 'adminDeleteSshKeypairV2',
    what: 'Remove the SSH key of a keypair.',
    given: ({ access_key: accessKey }) => ({ accessKey }),
  },
];

export const accounts: Topic = {
  searches: [
    ['users', 'adminUsersV2', 'superadmin', 'users'],
    ['keypairs', 'adminKeypairsV2', 'superadmin', 'keypairs'],
    ['keypairs/my', 'myKeypairs', 'user', 'keypairs of yours'],
    ['domains', 'adminDomainsV2', 'superadmin', 'domains'],
    ['projects', 'adminProjectsV2', 'superadmin', 'projects'],
  ],
  scoped: [
    {
      path: 'users/domains/:domain_name',
      field: 'domainUsersV2',
      place: ({ domain_name }) => ({ scope: { domain_name } }),
      what: 'users of a domain',
    },
    {
      path: 'users/projects/:project_id',
      field: 'projectUsersV2',
      place: ({ project_id }) => ({ scope: { project_id } }),
      what: 'users of a project',
    },
  ],
  ones: [
    {
      path: 'users/:user_id',
      field: 'adminUserV2',
      auth: 'superadmin',
      place: ({ user_id }) => ({ userId: user_id }),
      what: 'a user',
      under: 'user',
    },
    {
      path: 'domains/:domain_name',
      field: 'domainV2',
      auth: 'user',
      place: ({ domain_name }) => ({ domainName: domain_name }),
      what: 'a domain',
    },
    {
      path: 'projects/:project_id',
      field: 'projectV2',
      auth: 'user',
      place: ({ project_id }) => ({ projectId: project_id }),
      what: 'a project',
    },
    {
      path: 'keypairs/:access_key',
      field: 'adminKeypairV2',
      auth: 'superadmin',
      place: ({ access_key }) => ({ accessKey: access_key }),
      what: 'a keypair',
    },
    {
      path: 'keypairs/:access_key/ssh',
      field: 'adminSshKeypairV2',
      auth: 'superadmin',
      place: ({ access_key }) => ({ accessKey: access_key }),
      what: 'the public SSH key of a keypair',
    },
  ],
  changes: [
    ...USERS,
    ...MEMBERS,
    ...owned('Domain', 'domains', 'domain_name', 'domainName', 'name'),
    ...owned('Project', 'projects', 'project_id', 'projectId', 'group_id'),
    ...KEYPAIRS,
  ],
};
