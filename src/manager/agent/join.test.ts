/** Who may join with a token, how often, and under which names. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { formatToken, type JoinToken, parseToken, proofOf } from '../../common/protocol/join.ts';
import { systemRandom } from '../../common/random.ts';
import { generateKeys } from '../../common/rpc/keys.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { openPostgresConfigStore } from '../../stores/config/postgres.ts';
import { jumpingClock } from '../../testing/control-plane.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { admitAgent, createJoinToken, listJoinTokens, revokeJoinToken } from './join.ts';
import { agentKey, distrustAgent } from './trust.ts';

const HOUR_MS = 3_600_000;
const clock = jumpingClock();
let db: TestDatabase;
let config: ConfigStore;

beforeAll(async () => {
  db = await testDatabase();
  config = await openPostgresConfigStore({ sql: db.sql, log: { warn: () => {} } });
});

afterAll(async () => {
  await config.close();
  await db.drop();
});

const tokenFor = (uses = 1, ttlMs = HOUR_MS) =>
  createJoinToken(config, { clock, random: systemRandom }, { scalingGroup: 'lab', uses, ttlMs });

const requestOf = (
  { id, secret }: Pick<JoinToken, 'id' | 'secret'>,
  agentId: string,
  publicKey = generateKeys().publicKey,
) => {
  const claim = { tokenId: id, agentId, publicKey, nonce: 'AAAAAAAAAAAAAAAAAAAAAA' };
  return { ...claim, proof: proofOf(secret, claim) };
};

test('a token lets one agent in, and tells its resource group', async () => {
  const token = await tokenFor();
  const request = requestOf(token, 'i-one');
  expect(await admitAgent(config, clock, request)).toEqual({ scalingGroup: 'lab' });
  expect(await agentKey(config, 'i-one')).toBe(request.publicKey);
  const second = admitAgent(config, clock, requestOf(token, 'i-two'));
  await expect(second).rejects.toMatchObject({ problem: 'AuthorizationFailed' });
  expect(await agentKey(config, 'i-two')).toBeNull();
});

test('the same agent may ask again, since the answer may have been lost', async () => {
  const request = requestOf(await tokenFor(), 'i-again');
  await admitAgent(config, clock, request);
  expect(await admitAgent(config, clock, request)).toEqual({ scalingGroup: 'lab' });
});

test('of many that ask at once with a token for three, three come in', async () => {
  const token = await tokenFor(3);
  const asked = await Promise.allSettled(
    Array.from({ length: 8 }, (_, index) =>
      admitAgent(config, clock, requestOf(token, `i-many-${index}`)),
    ),
  );
  expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
});

test('a listener cannot put its own key in the place of the one that was proven', async () => {
  const heard = requestOf(await tokenFor(), 'i-heard');
  const forged = { ...heard, publicKey: generateKeys().publicKey };
  await expect(admitAgent(config, clock, forged)).rejects.toMatchObject({
    problem: 'AuthorizationFailed',
  });
});

test('nobody takes the name of another agent until it is revoked', async () => {
  await admitAgent(config, clock, requestOf(await tokenFor(), 'i-name'));
  const token = await tokenFor();
  const other = requestOf(token, 'i-name');
  await expect(admitAgent(config, clock, other)).rejects.toThrow('mgr agent revoke i-name');
  expect(await distrustAgent(config, 'i-name')).toBe(true);
  expect(await distrustAgent(config, 'i-name')).toBe(false);
  await admitAgent(config, clock, other);
  expect(await agentKey(config, 'i-name')).toBe(other.publicKey);
});

test('tokens end by time and by being revoked', async () => {
  const old = await tokenFor(1, HOUR_MS);
  clock.jump(HOUR_MS + 1);
  await expect(admitAgent(config, clock, requestOf(old, 'i-late'))).rejects.toThrow('too old');
  const revoked = await tokenFor();
  const listed = await listJoinTokens(config, clock);
  expect(listed.find(({ id }) => id === old.id)).toMatchObject({ isExpired: true, usesLeft: 1 });
  expect(JSON.stringify(listed)).not.toContain(revoked.secret);
  expect(await revokeJoinToken(config, revoked.id)).toBe(true);
  await expect(admitAgent(config, clock, requestOf(revoked, 'i-gone'))).rejects.toThrow('unknown');
});

test('a token is read only as a whole', async () => {
  const token = { ...(await tokenFor()), managerPublicKey: generateKeys().publicKey };
  const text = formatToken(token);
  expect(parseToken(` ${text}\n`)).toEqual(token);
  for (const wrong of ['', text.slice(0, -1), `${text}.x`, text.replace('bai-join', 'bai')]) {
    expect(parseToken(wrong)).toBeNull();
  }
});
