/** Operations on the caller's own account. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { publicRoute, route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import * as account from './account.ts';
import { signOut, signUp } from './signup.ts';
import type { SshKeypair } from './ssh-keypair.ts';
import { storableText } from './text.ts';

const password = storableText(1024);
const passwordsBody = v.object({
  old_password: password,
  new_password: password,
  new_password2: password,
});
const nameBody = v.object({
  email: v.string(),
  full_name: storableText(64),
});
const key = storableText(32 * 1024);
const keypairBody = v.object({ pubkey: key, privkey: key });
const roleQuery = v.object({
  group: v.optional(v.nullable(uuidText), null),
});

const maybe = (maxLength: number) => v.optional(v.nullable(storableText(maxLength)), null);
const signUpBody = aliased(
  { username: ['user_name'] },
  v.object({
    domain: storableText(64),
    email: storableText(64),
    password,
    username: maybe(64),
    full_name: maybe(64),
    description: maybe(500),
  }),
);
const signOutBody = aliased({ email: ['username'] }, v.object({ email: v.string(), password }));

const keypairReply = (pair: SshKeypair) => ({
  json: { ssh_public_key: pair.publicKey, ssh_private_key: pair.privateKey },
});

async function updatePassword(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  given: v.InferOutput<typeof passwordsBody>,
): Promise<RouteResult> {
  if (given.new_password !== given.new_password2) {
    return { status: 400, json: { error_msg: 'new password mismatch' } };
  }
  const passwords = { old: given.old_password, new: given.new_password };
  await account.updatePassword({ ...request, ctx }, passwords);
  return { json: { error_msg: null } };
}

/** What is the same for all operations of anyone who has signed the request. */
const own = { gate: 'any', auth: 'user' } as const;
const sshKeypair = { ...own, path: '/auth/ssh-keypair' };

export function accountRoutes(ctx: ManagerContext): Route[] {
  return [
    publicRoute(
      {
        method: 'POST',
        path: '/auth/signup',
        gate: 'any',
        summary: 'Open an account, which an administrator then activates.',
        takes: { body: signUpBody },
      },
      async (request, { body: { full_name: fullName, ...given } }) => {
        const { accessKey, secretKey } = await signUp({ ...request, ctx }, { ...given, fullName });
        return { status: 201, json: { access_key: accessKey, secret_key: secretKey } };
      },
    ),
    route(
      {
        ...own,
        method: 'POST',
        path: '/auth/signout',
        summary: "Close the caller's account.",
        takes: { body: signOutBody },
      },
      async (request, { body }) => {
        await signOut({ ...request, ctx }, body);
        return { json: {} };
      },
    ),
    route(
      {
        ...own,
        method: 'GET',
        path: '/auth/my-ip',
        summary: 'Tell from which address this request came.',
        takes: {},
      },
      async ({ clientAddress }) => ({ json: { client_ip: clientAddress ?? '' } }),
    ),
    route(
      {
        ...own,
        method: 'GET',
        path: '/auth/role',
        summary: "Tell the caller's roles.",
        takes: { query: roleQuery },
      },
      async ({ caller }, { query }) => ({ json: await account.rolesOf(ctx, caller, query.group) }),
    ),
    route(
      {
        ...own,
        method: 'POST',
        path: '/auth/update-password',
        summary: "Change the caller's password.",
        takes: { body: passwordsBody },
      },
      (request, { body }) => updatePassword(ctx, request, body),
    ),
    route(
      {
        ...own,
        method: 'POST',
        path: '/auth/update-full-name',
        summary: "Change the caller's full name.",
        takes: { body: nameBody },
      },
      async (request, { body: { email, full_name: fullName } }) => {
        await account.updateFullName({ ...request, ctx }, { email, fullName });
        return { json: {} };
      },
    ),
    route(
      { ...sshKeypair, method: 'GET', summary: "Tell the caller's public SSH key.", takes: {} },
      async ({ caller }) => ({ json: { ssh_public_key: await account.sshPublicKey(ctx, caller) } }),
    ),
    route(
      { ...sshKeypair, method: 'PATCH', summary: 'Make a new SSH key pair.', takes: {} },
      async (request) => keypairReply(await account.renewSshKeypair({ ...request, ctx })),
    ),
    route(
      {
        ...sshKeypair,
        method: 'POST',
        summary: 'Store an SSH key pair.',
        takes: { body: keypairBody },
      },
      async (request, { body: { pubkey: publicKey, privkey: privateKey } }) => {
        const given = { publicKey, privateKey };
        return keypairReply(await account.uploadSshKeypair({ ...request, ctx }, given));
      },
    ),
  ];
}
