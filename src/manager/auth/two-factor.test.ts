/** Second factors: enrolling, proving, demanding and removing them, with codes computed here. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import * as v from 'valibot';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import { signingClient, type TestAccount } from '../../testing/manager.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { hashPassword } from '../user/password.ts';

const PASSWORD = 'correct horse 1!';
const RULES = 'config/plugins/hook/totp';

const logged: string[] = [];
const collect = (message: string, fields?: unknown) => {
  logged.push(`${message} ${JSON.stringify(fields)}`);
};
const log: Logger = {
  trace: collect,
  debug: collect,
  info: collect,
  warn: collect,
  error: collect,
  child: () => log,
};

/** How far tests have turned the clock on by which things expire. */
let aheadMs = 0;
const clock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() + aheadMs,
};

let tenants: Tenants;
let hash: string;
beforeAll(async () => {
  tenants = await testTenants({ log, clock });
  hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
});
afterAll(() => tenants.close());

let person: TestAccount;
beforeEach(async () => {
  await tenants.ctx.config.deletePrefix(RULES);
  const userId = crypto.randomUUID();
  person = {
    userId,
    email: `${userId.slice(0, 8)}@test.example`,
    accessKey: `AKIA${userId.slice(0, 8)}`,
    secretKey: 'secret',
  };
  const { sql } = tenants.db;
  await sql`INSERT INTO users (uuid, username, email, password, status, domain_name, role,
      resource_policy, sudo_session_enabled)
    VALUES (${userId}, ${userId}, ${person.email}, ${hash}, 'active', 'default', 'user', 'default',
      false)`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, rate_limit, "user",
      resource_policy, dotfiles, bootstrap_script)
    VALUES (${person.email}, ${person.accessKey}, 'secret', true, 1000, ${userId}, 'default',
      '\\x90', '')`;
});

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** What an authenticator app shows `stepsAhead` steps of 30 seconds from now. */
function codeOf(secret: string, stepsAhead = 0): string {
  const bits = [...secret].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0'));
  const bytes = (bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + stepsAhead));
  const mac = createHmac('sha1', Buffer.from(bytes)).update(counter).digest();
  const number = mac.readUInt32BE(mac.readUInt8(19) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

const enrolment = v.strictObject({ totp_key: v.string(), totp_uri: v.string() });
const outcome = v.object({ data: v.looseObject({ response_type: v.string() }) });
const problem = v.object({ type: v.string() });

const client = () => signingClient(tenants.url, person);
const post = (path: string, json: unknown) =>
  fetch(`${tenants.url}${path}`, { method: 'POST', body: JSON.stringify(json) });
const login = (extra: Record<string, unknown> = {}) =>
  post('/auth/authorize', {
    type: 'keypair',
    domain: 'default',
    username: person.email,
    password: PASSWORD,
    ...extra,
  });
const answerOf = async (response: Response) => v.parse(outcome, await response.json()).data;
async function slugOf(response: Response): Promise<string> {
  const { type } = v.parse(problem, await response.json());
  return `${response.status} ${type.slice(type.lastIndexOf('/') + 1)}`;
}
const enrol = async () => v.parse(enrolment, await (await client()('POST', '/totp')).json());
async function enrolled(): Promise<string> {
  const { totp_key: secret } = await enrol();
  const done = await client()('POST', '/totp/verify', { otp: codeOf(secret, -1) });
  expect(await done.json()).toEqual({ success: true });
  return secret;
}

describe('by oneself', () => {
  test('clients learn that second factors exist', async () => {
    const response = await fetch(`${tenants.url}/totp`);
    expect(await response.json()).toEqual({ totp_enabled: true });
  });

  test('it counts from the first right code on, and a code counts once', async () => {
    const { totp_key: secret, totp_uri: uri } = await enrol();
    const parsed = new URL(uri);
    expect(parsed.protocol).toBe('otpauth:');
    expect(parsed.searchParams.get('secret')).toBe(secret);
    expect(parsed.searchParams.get('issuer')).toBe('Backend.AI');
    expect(decodeURIComponent(parsed.pathname)).toEndWith(`Backend.AI:${person.email}`);
    expect((await answerOf(await login())).response_type).toBe('success');

    const wrong = await client()('POST', '/totp/verify', { otp: codeOf(secret, 50) });
    expect(await slugOf(wrong)).toBe('401 totp-auth-failed');
    const otp = codeOf(secret);
    expect((await client()('POST', '/totp/verify', { otp })).status).toBe(200);
    expect(await answerOf(await login())).toEqual({
      response_type: 'REQUIRE_TWO_FACTOR_AUTH',
      type: 'TOTP',
    });
    expect(await slugOf(await login({ otp }))).toBe('400 rejected-by-hook');
    const next = codeOf(secret, 1);
    expect((await answerOf(await login({ otp: next }))).response_type).toBe('success');
    expect(await slugOf(await login({ otp: next }))).toBe('400 rejected-by-hook');
  });

  test('codes of distant steps are refused', async () => {
    const secret = await enrolled();
    for (const steps of [-3, 3, 20]) {
      expect(await slugOf(await login({ otp: codeOf(secret, steps) }))).toBe(
        '400 rejected-by-hook',
      );
    }
  });

  test('guessing codes is blocked', async () => {
    const { totp_key: secret } = await enrol();
    const wrong = codeOf(secret, 1000);
    for (let attempt = 0; attempt < 10; attempt += 1) {
      expect((await client()('POST', '/totp/verify', { otp: wrong })).status).toBe(401);
    }
    const right = await client()('POST', '/totp/verify', { otp: codeOf(secret) });
    expect(await slugOf(right)).toBe('429 login-blocked');
  });

  test('it cannot be enrolled over a working one, and not be proved before enrolling', async () => {
    const early = await client()('POST', '/totp/verify', { otp: '123456' });
    expect(early.status).toBe(400);
    await enrolled();
    expect((await client()('POST', '/totp')).status).toBe(400);
    expect((await client()('POST', '/totp/verify', { otp: '123456' })).status).toBe(400);
  });

  test('switched off, the secret is gone; once more is an error', async () => {
    await enrolled();
    expect(await (await client()('DELETE', '/totp')).json()).toEqual({ success: true });
    const [row] = await tenants.db.sql`
      SELECT totp_key, totp_activated, totp_activated_at FROM users WHERE uuid = ${person.userId}`;
    expect(row).toEqual({ totp_key: null, totp_activated: false, totp_activated_at: null });
    expect((await answerOf(await login())).response_type).toBe('success');
    expect((await client()('DELETE', '/totp')).status).toBe(400);
  });

  test('secrets and codes are in no log and no audit record', async () => {
    const secret = await enrolled();
    const otp = codeOf(secret, 1);
    await login({ otp });
    await login({ otp });
    const audit = await tenants.db.sql`
      SELECT entity_id, before, after FROM audit_logs WHERE entity_id = ${person.userId}`;
    expect(audit).toHaveLength(2);
    const text = `${JSON.stringify(audit)} ${logged.join('\n')}`;
    expect(text).not.toContain(secret);
    expect(text).not.toContain(otp);
  });
});

describe('where it is demanded', () => {
  beforeEach(() =>
    tenants.ctx.config.putMany(
      new Map([
        [`${RULES}/forced`, 'true'],
        [`${RULES}/issuer`, 'Our cluster'],
      ]),
    ),
  );

  async function registrationToken(): Promise<string> {
    const data = await answerOf(await login());
    expect(data).toMatchObject({
      response_type: 'REQUIRE_TWO_FACTOR_REGISTRATION',
      type: 'TOTP',
    });
    return v.parse(v.string(), data.token);
  }

  test('signing in leads to enrolling, and then to signing in', async () => {
    const registration_token = await registrationToken();
    const begun = await post('/totp/anon', { registration_token });
    const { totp_key: secret, totp_uri: uri } = v.parse(enrolment, await begun.json());
    expect(new URL(uri).searchParams.get('issuer')).toBe('Our cluster');
    const wrong = { registration_token, otp: codeOf(secret, 50) };
    expect(await slugOf(await post('/totp/anon/verify', wrong))).toBe('401 totp-auth-failed');
    const right = { registration_token, otp: codeOf(secret) };
    expect(await (await post('/totp/anon/verify', right)).json()).toEqual({ success: true });
    expect(await slugOf(await post('/totp/anon', { registration_token }))).toBe(
      '400 invalid-token',
    );
    const data = await answerOf(await login({ otp: codeOf(secret, 1) }));
    expect(data.response_type).toBe('success');
  });

  test('of one account, by its administrator, who cannot know the secret', async () => {
    await tenants.ctx.config.deletePrefix(RULES);
    const { data } = await tenants.ask(
      'superadmin',
      `mutation { modify_user(email: "${person.email}", props: { totp_activated: true }) { ok msg } }`,
    );
    expect(data?.modify_user).toMatchObject({ ok: true });
    const registration_token = await registrationToken();
    const begun = await post('/totp/anon', { registration_token });
    const { totp_key: first } = v.parse(enrolment, await begun.json());
    // Having begun, but proved nothing, opens no door.
    expect((await answerOf(await login())).response_type).toBe('REQUIRE_TWO_FACTOR_AUTH');
    const again = await post('/totp/anon', { registration_token });
    const { totp_key: secret } = v.parse(enrolment, await again.json());
    const old = { registration_token, otp: codeOf(first) };
    expect(await slugOf(await post('/totp/anon/verify', old))).toBe('401 totp-auth-failed');
    const right = { registration_token, otp: codeOf(secret) };
    expect((await post('/totp/anon/verify', right)).status).toBe(200);
    expect((await answerOf(await login({ otp: codeOf(secret, 1) }))).response_type).toBe('success');
  });

  test('a token is given for a right password only, and counts for a limited time', async () => {
    expect(await slugOf(await login({ password: 'wrong' }))).toBe('401 auth-failed');
    const bad = await post('/totp/anon', { registration_token: 'AAAA' });
    expect(await slugOf(bad)).toBe('400 invalid-token');
    await tenants.ctx.config.put(`${RULES}/token_lifetime`, '60');
    const registration_token = await registrationToken();
    aheadMs += 60_000;
    const late = await post('/totp/anon', { registration_token });
    expect(await slugOf(late)).toBe('400 invalid-token');
  });

  test('an account that was closed meanwhile enrols nothing', async () => {
    const registration_token = await registrationToken();
    await tenants.db.sql`UPDATE users SET status = 'inactive' WHERE uuid = ${person.userId}`;
    const answer = await post('/totp/anon', { registration_token });
    expect(await slugOf(answer)).toBe('400 invalid-token');
  });
});

describe('for somebody else', () => {
  const remove = async (who: 'superadmin' | 'admin' | 'user' | 'otherAdmin', email: string) => {
    const send = signingClient(tenants.url, tenants.people[who]);
    return (await send('DELETE', `/totp?email=${encodeURIComponent(email)}`)).status;
  };

  test('administrators remove it within their reach', async () => {
    await enrolled();
    expect(await remove('user', person.email)).toBe(403);
    expect(await remove('otherAdmin', person.email)).toBe(400);
    expect(await remove('admin', 'nobody@test.example')).toBe(400);
    const [row] = await tenants.db.sql`
      SELECT totp_activated FROM users WHERE uuid = ${person.userId}`;
    expect(row).toEqual({ totp_activated: true });
    expect(await remove('admin', person.email)).toBe(200);
    expect(await remove('superadmin', person.email)).toBe(400);
  });

  test("a domain's administrator never weakens a superadmin", async () => {
    const { email, userId } = tenants.people.superadmin;
    await tenants.db.sql`UPDATE users SET totp_activated = true, totp_key = 'GEZDGNBVGY3TQOJQ'
      WHERE uuid = ${userId}`;
    expect(await remove('admin', email)).toBe(400);
    expect(await remove('superadmin', email)).toBe(200);
  });
});
