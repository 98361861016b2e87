/** Operations on the caller's own account. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { readQuery } from '../http/body.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import * as account from './account.ts';
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
  group: v.optional(v.nullable(v.pipe(v.string(), v.uuid())), null),
});

const keypairReply = (pair: SshKeypair) => ({
  json: { ssh_public_key: pair.publicKey, ssh_private_key: pair.privateKey },
});

async function updatePassword(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
): Promise<RouteResult> {
  const given = await request.body(passwordsBody);
  if (given.new_password !== given.new_password2) {
    return { status: 400, json: { error_msg: 'new password mismatch' } };
  }
  const passwords = { old: given.old_password, new: given.new_password };
  await account.updatePassword({ ...request, ctx }, passwords);
  return { json: { error_msg: null } };
}

/** An operation of anyone who has signed the request. */
const own = (
  method: Route['method'],
  path: string,
  handler: (request: AuthenticatedRequest) => Promise<RouteResult>,
): Route => ({ method, path, gate: 'any', auth: 'user', handler });

export function accountRoutes(ctx: ManagerContext): Route[] {
  return [
    own('GET', '/auth/my-ip', async ({ clientAddress }) => ({
      json: { client_ip: clientAddress ?? '' },
    })),
    own('GET', '/auth/role', async ({ caller, query }) => ({
      json: await account.rolesOf(ctx, caller, readQuery(query, roleQuery).group),
    })),
    own('POST', '/auth/update-password', (request) => updatePassword(ctx, request)),
    own('POST', '/auth/update-full-name', async (request) => {
      const { email, full_name: fullName } = await request.body(nameBody);
      await account.updateFullName({ ...request, ctx }, { email, fullName });
      return { json: {} };
    }),
    own('GET', '/auth/ssh-keypair', async ({ caller }) => ({
      json: { ssh_public_key: await account.sshPublicKey(ctx, caller) },
    })),
    own('PATCH', '/auth/ssh-keypair', async (request) =>
      keypairReply(await account.renewSshKeypair({ ...request, ctx })),
    ),
    own('POST', '/auth/ssh-keypair', async (request) => {
      const { pubkey: publicKey, privkey: privateKey } = await request.body(keypairBody);
      const given = { publicKey, privateKey };
      return keypairReply(await account.uploadSshKeypair({ ...request, ctx }, given));
    }),
  ];
}
